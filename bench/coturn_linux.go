package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// COTURN_NEW names a coturn of today beside the one that Debian ships: a turnserver
// built from its source with -O2. Without it the two rivals that need it are left out,
// and the report says so.
const newCoturn = "COTURN_NEW"

// coturns are all coturns of the benchmark, Debian's first.
var coturns = []string{"coturn", "coturn-new", "coturn-mux"}

func coturn(r *rival, e *environment, cpus []int) []string {
	return append(coturnCommand("turnserver", r, e, cpus), "--no-dtls", "--no-cli", "--no-software-attribute",
		"--no-rfc5780", "--no-stun-backward-compatibility", "--simple-log")
}

// coturnNew needs less to be told: what the old one is told to leave out is off by
// default. It looks up nothing that may change while it runs.
func coturnNew(more ...string) func(*rival, *environment, []int) []string {
	return func(r *rival, e *environment, cpus []int) []string {
		command := coturnCommand(os.Getenv(newCoturn), r, e, cpus)
		return append(append(command, "--no-auth-pings", "--no-dynamic-ip-list", "--no-dynamic-realms"), more...)
	}
}

func coturnCommand(program string, r *rival, e *environment, cpus []int) []string {
	ip := r.address.String()
	return []string{
		program, "-n", "-L", ip, "-E", ip, "-p", strconv.Itoa(plainPort), "--tls-listening-port", strconv.Itoa(tlsPort),
		"--use-auth-secret", "--static-auth-secret", secret, "-r", "bench", "--allow-loopback-peers",
		"--min-port", "10000", "--max-port", "65535", "-m", strconv.Itoa(len(cpus)),
		"--cert", e.path("cert.pem"), "--pkey", e.path("key.pem"), "--no-stdout-log", "--log-file", "/dev/null",
		"--pidfile", e.path(r.name + ".pid"), "--userdb", e.path(r.name + ".db"),
	}
}

// notMeasured begins the version of a rival that takes no part.
const notMeasured = "not measured: "

func newCoturnVersion(words string) func(*environment) string {
	return func(*environment) string {
		program := os.Getenv(newCoturn)
		if program == "" {
			return notMeasured + newCoturn + " names no turnserver"
		}
		lines := strings.Fields(outputAll(program, "--version"))
		if len(lines) == 0 {
			return "not there: " + program
		}
		return "coturn " + lines[len(lines)-1] + words
	}
}

// missing tells whether this rival cannot be run here.
func (r *rival) missing() bool { return r.needs != "" && os.Getenv(r.needs) == "" }

// takesPart tells whether the rival runs in a row.
func (r *rival) takesPart(row row) bool {
	switch {
	case r.missing(), len(row.who) > 0 && !slices.Contains(row.who, r.name), r.raw && !row.bare:
		return false
	case r.oneAddress && slices.Contains(row.args, "-pair"):
		return false // its clients cannot reach each other
	}
	return true
}

// bestCoturn is the best score that any coturn has in a row.
func bestCoturn(by map[string]*figure) (score float64) {
	for _, v := range coturns {
		score = max(score, by[v].score())
	}
	return score
}
