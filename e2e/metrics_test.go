package e2e

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metricIn is the sum of all values of a metric in what /metrics answers, or the value of one
// line, where the name has its labels. A name that is not there fails the test, as a misspelt
// one would else pass for 0. Some labels are there only once something was counted under them.
func metricIn(t *testing.T, text, name string) (sum float64) {
	t.Helper()
	sum, found := findMetric(t, text, name)
	if !found {
		t.Fatalf("%s is not in the metrics:\n%s", name, text)
	}
	return sum
}

func findMetric(t *testing.T, text, name string) (sum float64, found bool) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum, found = sum+value, true
		}
	}
	return sum, found
}

func (s *server) metrics(t *testing.T) string {
	t.Helper()
	response, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	return metricIn(t, s.metrics(t), name)
}
