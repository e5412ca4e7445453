package signaling

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// plays returns how many random schedules a test plays, few, or many with E2E_LONG, and the
// seed of the first, which it prints. SCHEDULES says another number; SEED plays that one again.
func plays(t *testing.T, few, many int) (schedules int, first uint64) {
	t.Helper()
	schedules, first = few, uint64(time.Now().UnixNano())
	if os.Getenv("E2E_LONG") != "" {
		schedules = many
	}
	if n, err := strconv.Atoi(os.Getenv("SCHEDULES")); err == nil {
		schedules = n
	}
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		schedules, first = 1, seed
	}
	t.Logf("seeds from %d", first)
	return schedules, first
}
