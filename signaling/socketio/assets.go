package socketio

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// client is the distribution of the npm package socket.io-client, unchanged:
//
//	npm pack socket.io-client@4.8.4, folder dist
//
//go:embed client-dist/socket.io.js client-dist/socket.io.min.js client-dist/socket.io.esm.min.js
var client embed.FS

// asset is one file and the tag of its content.
type asset struct {
	content []byte
	tag     string
}

type assets map[string]asset

func loadAssets() assets {
	all := make(assets)
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"} {
		content, err := client.ReadFile("client-dist/" + name)
		if err != nil {
			panic(err) // named above, so it is there
		}
		sum := sha256.Sum256(content)
		all[name] = asset{content, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return all
}

// serve answers GET /socket.io/socket.io.js and its siblings.
func (a assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	file, ok := a[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/javascript; charset=utf-8")
	h.Set("ETag", file.tag)
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasSuffix(name, ".esm.min.js") {
		// A module of another origin is loaded with CORS by everybody.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Del("Access-Control-Allow-Credentials")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.content))
}
