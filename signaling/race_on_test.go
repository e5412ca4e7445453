//go:build race

package signaling

// modelSequences is how many random sequences TestCallModel plays: fewer here,
// since the race detector makes them ten times slower.
const modelSequences = 2000
