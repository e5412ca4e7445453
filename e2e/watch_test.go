package e2e

import (
	"net/http"
	"os/exec"
	"testing"
)

// TestPromtool holds that Prometheus takes the alert rules, and finds nothing to
// mend in the names and types of a running server's metrics.
func TestPromtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool (Debian's package prometheus) is not here")
	}
	if output, err := exec.Command("promtool", "check", "rules", "../docs/alerts.yml").CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, output)
	}
	s := start(t, nil)
	response, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = response.Body
	if output, err := check.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, output)
	}
}
