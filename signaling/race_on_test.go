//go:build race

package signaling

// modelSequences is how many random sequences TestCallModel plays: fewer here,
// since the race detector makes them ten times slower.
const modelSequences = 2000

// resumeSchedules is likewise how many schedules TestNodesResume plays.
const resumeSchedules = 200
