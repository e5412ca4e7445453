// Package assets serves files that are built in: compressed, with a tag for each
// form, under fixed names that browsers ask about each time, and under names that
// hold the hash of their content, which browsers keep for good.
//
// What is better done once than at each start, bundling and the slow but small
// kinds of compression, `go generate` writes to the folder made. Everything in it is
// found by the hash of what it was made of: a file that has changed since is served
// as it is, compressed by gzip on its first request.
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// made is what generate has written. It may be empty but for its README.
//
//go:embed all:made
var made embed.FS

//go:generate go run ./generate

// Hash names a content: 16 hexadecimal digits.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// Made returns what generate has made of the content with that hash; nil: nothing.
func Made(hash, kind string) []byte {
	content, err := made.ReadFile("made/" + hash + "." + kind)
	if err != nil {
		return nil
	}
	return content
}

// types are given here: the system's list may be missing or odd, and is slow to
// read.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".ts":   "text/plain; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",

	".png":  "image/png",
	".webp": "image/webp",
	".ico":  "image/x-icon",
	".wasm": "application/wasm",

	".woff2":       "font/woff2",
	".webmanifest": "application/manifest+json",
}

// squeezable are the types that compression makes smaller.
var squeezable = map[string]bool{
	".html": true, ".js": true, ".ts": true, ".css": true, ".svg": true, ".json": true, ".txt": true, ".wasm": true, ".webmanifest": true,
}

// leastSqueezed is the smallest content, in bytes, that is worth compressing.
const leastSqueezed = 256

// File is one content in all its forms. Safe for concurrent use.
type File struct {
	Content []byte
	Type    string // Content-Type
	Hash    string // in the name by which browsers keep it for good

	tag      string // of the content, in its ETag
	br       []byte
	gzipOnce func() []byte // nil: not worth it
}

// NewFile returns the file of a content; name is for its type.
func NewFile(name string, content []byte) *File {
	ext := path.Ext(name)
	f := &File{Content: content, Type: types[ext], Hash: Hash(content)}
	f.tag = f.Hash
	if f.Type == "" {
		f.Type = "application/octet-stream"
	}
	if squeezable[ext] && len(content) >= leastSqueezed {
		f.br = Made(f.tag, "br")
		f.gzipOnce = sync.OnceValue(func() []byte {
			if ready := Made(f.tag, "gz"); ready != nil {
				return ready
			}
			var out bytes.Buffer
			w := gzip.NewWriter(&out) // to memory: no error is possible
			_, _ = w.Write(content)
			_ = w.Close()
			return out.Bytes()
		})
	}
	return f
}

// Squeezable reports whether the file is sent compressed to who accepts that.
func (f *File) Squeezable() bool { return f.gzipOnce != nil }

// form returns the best form for who accepts these encodings, and its name: br,
// gzip, or "" for the content itself.
func (f *File) form(accept []string) ([]byte, string) {
	for _, encoding := range preferred(accept) {
		switch {
		case encoding == "br" && f.br != nil:
			return f.br, encoding
		case encoding == "gzip" && f.gzipOnce != nil:
			if squeezed := f.gzipOnce(); len(squeezed) < len(f.Content) {
				return squeezed, encoding
			}
		case encoding == "":
			return f.Content, ""
		}
	}
	return f.Content, ""
}

// Policies of caching.
const (
	// Revalidate has browsers ask each time whether the file is still the same, so
	// that an upgrade shows at once.
	Revalidate = "no-cache"
	// Forever is for names that hold the hash of the content.
	Forever = "public, max-age=31536000, immutable"
	// Never is for answers that stand for an error.
	Never = "no-store"
)

// Serve answers GET and HEAD with the file. Parts of it are not served: of which form
// would they be?
func (f *File) Serve(w http.ResponseWriter, r *http.Request, caching string) {
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("Cache-Control", caching)
	h.Add("Vary", "Accept-Encoding")
	content, encoding := f.form(r.Header.Values("Accept-Encoding"))
	tag := f.tag
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
		h.Set("Content-Length", strconv.Itoa(len(content))) // ServeContent leaves it out
		tag += "-" + encoding
	}
	h.Set("ETag", `"`+tag+`"`)
	whole := r.Clone(r.Context())
	whole.Header.Del("Range")
	http.ServeContent(noRanges{w}, whole, "", time.Time{}, bytes.NewReader(content))
}

// noRanges takes back the offer to serve parts.
type noRanges struct{ http.ResponseWriter }

func (w noRanges) WriteHeader(status int) {
	w.Header().Set("Accept-Ranges", "none")
	w.ResponseWriter.WriteHeader(status)
}

// Set is a folder of files. The zero value is empty; it is filled before it is used.
type Set struct {
	files map[string]*File
}

// Add adds the files of a tree, under their paths in it.
func (s *Set) Add(tree fs.FS) {
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		s.Put(name, content)
		return nil
	})
	if err != nil {
		panic(err) // the trees are built in
	}
}

// Put adds or replaces one file.
func (s *Set) Put(name string, content []byte) {
	if s.files == nil {
		s.files = make(map[string]*File)
	}
	s.files[name] = NewFile(name, content)
}

// File returns a file by its name; nil: there is none.
func (s *Set) File(name string) *File { return s.files[name] }

// Names calls yield with each name.
func (s *Set) Names(yield func(name string) bool) {
	for name := range s.files {
		if !yield(name) {
			return
		}
	}
}

// Hashed returns the name by which a browser may keep the file for good: a.css is
// a.0123456789abcdef.css.
func (s *Set) Hashed(name string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + s.files[name].Hash + ext
}

// Find returns the file of a name or of a hashed one, and how it may be cached. A
// hashed name of another version, that a page from before an upgrade has asked for,
// is answered by what there is now: better than not at all.
func (s *Set) Find(name string) (*File, string) {
	if f := s.files[name]; f != nil {
		return f, Revalidate
	}
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	hash := strings.TrimPrefix(path.Ext(stem), ".")
	if len(hash) != 16 || strings.Trim(hash, "0123456789abcdef") != "" {
		return nil, ""
	}
	f := s.files[strings.TrimSuffix(stem, "."+hash)+ext]
	switch {
	case f == nil:
		return nil, ""
	case f.Hash != hash:
		return f, Never
	}
	return f, Forever
}
