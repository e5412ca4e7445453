// Package differential puts turnsrv and Debian's coturn under the same random
// sequences of requests and packets and compares what comes out: response
// classes, error codes, the attributes that matter, and every relayed byte.
//
// What differs and may differ stands in the table in differences_test.go with
// the clause of the RFC that decides; anything else fails the test. A failure
// names its seed:
//
//	go test ./e2e/differential -seed 42 -sequences 1 -v
package differential
