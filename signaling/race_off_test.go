//go:build !race

package signaling

// modelSequences is how many random sequences TestCallModel plays.
const modelSequences = 20_000
