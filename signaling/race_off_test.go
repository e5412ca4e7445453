//go:build !race

package signaling

// modelSequences is how many random sequences TestCallModel plays.
const modelSequences = 20_000

// resumeSchedules is likewise how many schedules TestNodesResume plays.
const resumeSchedules = 2000
