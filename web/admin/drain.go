package admin

import (
	"encoding/json"
	"net/http"
	"os"
	"time"
)

// Draining is the answer of POST /drain.
type Draining struct {
	PID      int `json:"pid"`
	Sessions int `json:"sessions"`
}

// drain begins to empty and end this server. The answer goes on until the server ends.
func (c *console) drain(w http.ResponseWriter, r *http.Request) {
	if c.cfg.Drain == nil {
		fail(w, http.StatusNotFound, "this process cannot be drained")
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Draining{os.Getpid(), c.cfg.Drain()})
	_ = control.Flush()
	<-r.Context().Done()
}
