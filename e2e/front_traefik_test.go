package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// traefikHTTP are Traefik's rules as a reverse proxy for HTTP.
func traefikHTTP(t *testing.T, dir string, to int, below string) string {
	t.Helper()
	text := recipe(t, "### Traefik", "calls.example.org", "localhost", "127.0.0.1:8080", fmt.Sprint("127.0.0.1:", to))
	text = onPath(text, below, "Host(`localhost`)", "Host(`localhost`) && PathPrefix(`"+below+"/`)")
	return fmt.Sprintf("%s\ntls: {stores: {default: {defaultCertificate: {certFile: \"%s/cert.pem\", keyFile: \"%[2]s/key.pem\"}}}}\n", text, dir)
}

// traefikTCP are its rules as a proxy for TCP, with a version of the PROXY protocol.
func traefikTCP(t *testing.T, to, other, version int) string {
	t.Helper()
	return recipe(t, "### Traefik, by name", "version: 2", fmt.Sprint("version: ", version),
		"127.0.0.1:8443", fmt.Sprint("127.0.0.1:", to), "127.0.0.1:8444", fmt.Sprint("127.0.0.1:", other))
}

// beginTraefik starts Traefik with rules on a port of its own, and returns what has it
// read them anew. entry are further options of its entry point.
func beginTraefik(t *testing.T, rules string, port int, entry ...string) (reload func()) {
	t.Helper()
	path, work, api := goProgram(t, "traefik"), t.TempDir(), freePort(t)
	file, dynamic := filepath.Join(work, "traefik.yml"), filepath.Join(work, "rules.yml")
	write(t, dynamic, rules)
	write(t, file, fmt.Sprintf(`entryPoints: {websecure: {%s}, traefik: {address: "127.0.0.1:%d"}}
providers: {file: {filename: "%s"}}
api: {insecure: true, dashboard: false}
global: {checkNewVersion: false, sendAnonymousUsage: false}
`, strings.Join(append(entry, fmt.Sprintf(`address: "127.0.0.1:%d"`, port)), ", "), api, dynamic))
	run(t, []int{port, api}, path, "--configFile="+file)
	// It listens before it has read the rules.
	known := func(router string) func() bool {
		return func() bool {
			kind, _, _ := strings.Cut(rules, ":")
			response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/%s/routers", api, kind))
			if err != nil {
				return false
			}
			defer response.Body.Close()
			var routers []struct{ Name string }
			return json.NewDecoder(response.Body).Decode(&routers) == nil &&
				slices.ContainsFunc(routers, func(r struct{ Name string }) bool { return r.Name == router+"@file" })
		}
	}
	until(t, "Traefik has read its rules", known("turnhub"))
	return func() {
		again := fmt.Sprint("again", time.Now().UnixNano())
		// A rule more, by which it is seen that the new ones are in force.
		const routers = "  routers:\n"
		if !strings.Contains(rules, routers) {
			t.Fatal("the recipe has no routers")
		}
		more := routers + "    " + again + ": {rule: \"" + map[bool]string{true: "HostSNI", false: "Host"}[strings.HasPrefix(rules, "tcp")] + "(`" + again + ".example`)\", entryPoints: [websecure], service: turnhub, tls: {}}\n"
		write(t, dynamic, strings.Replace(rules, routers, more, 1))
		until(t, "Traefik has read its rules again", known(again))
	}
}
