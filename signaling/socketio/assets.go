package socketio

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"turnhub/internal/assets"
)

// client is the client of others that pages ask their server for, see its README.
//
//go:embed vendor/socket.io.min.js vendor/socket.io.esm.min.js
var client embed.FS

func loadAssets() *assets.Set {
	dist, err := fs.Sub(client, "vendor")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	all := new(assets.Set)
	all.Add(dist)
	// Pages ask for it by the name of the readable form; the other does the same in a third of the bytes.
	all.Put("socket.io.js", all.File("socket.io.min.js").Content)
	return all
}

// serveAsset answers GET /socket.io/socket.io.js and its siblings.
func serveAsset(all *assets.Set, w http.ResponseWriter, r *http.Request, name string) {
	file := all.File(name)
	if file == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasSuffix(name, ".esm.min.js") {
		// A module of another origin is loaded with CORS by everybody.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Del("Access-Control-Allow-Credentials")
	}
	file.Serve(w, r, "public, max-age=3600")
}
