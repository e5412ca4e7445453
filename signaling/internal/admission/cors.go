package admission

import "net/http"

// CORS writes the headers that let a page of an allowed Origin read the
// answer: the exact Origin, "null" included, never "*". It goes before
// anything else, so that errors carry them too.
func (d *Desk) CORS(w http.ResponseWriter, r *http.Request, credentials bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !d.hub.AllowsOrigin(r) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// Preflight answers the OPTIONS request of the Fetch standard after CORS.
func Preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", methods)
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
}
