package assets

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"
)

func TestPreferred(t *testing.T) {
	for header, want := range map[string]string{
		"":                                   "-",
		"gzip, deflate, br, zstd":            "br gzip -",
		"gzip":                               "gzip -",
		"GZIP;Q=0.5, BR ; q=0.4":             "gzip br -",
		"br;q=0, gzip":                       "gzip -",
		"br;q=0,gzip;q=0":                    "-",
		"gzip;q=0.000":                       "-",
		"*":                                  "br gzip -",
		"*;q=0":                              "",
		"*;q=0, gzip;q=0.1":                  "gzip",
		"identity;q=1, br;q=0.5":             "- br",
		"identity;q=0":                       "",
		"deflate, zstd":                      "-",
		"x-gzip":                             "gzip -",
		"br;q=2, gzip;q=x, identity":         "-",
		"br;q=NaN":                           "-",
		"br;level=1;q=0":                     "-",
		",,;q=1,":                            "-",
		"gzip;q=1.0, identity; q=0.5, *;q=0": "gzip -",
	} {
		names := preferred([]string{header})
		for i := range names {
			if names[i] == "" {
				names[i] = "-"
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	if got := preferred([]string{"br;q=0", "gzip"}); !slices.Equal(got, []string{"gzip", ""}) {
		t.Error("the header in two lines:", got)
	}
}

// ask requests a file with headers "Name: value".
func ask(f *File, method string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "/", nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.Serve(w, r, Revalidate)
	return w.Result()
}

func TestForms(t *testing.T) {
	text := []byte(strings.Repeat("a file of some length. ", 100))
	f := NewFile("a.js", text)
	var br bytes.Buffer
	w := brotli.NewWriter(&br)
	w.Write(text)
	w.Close()
	f.br = br.Bytes()

	tags := map[string]bool{}
	for accept, decode := range map[string]func(io.Reader) io.Reader{
		"br": func(r io.Reader) io.Reader { return brotli.NewReader(r) },
		"gzip": func(r io.Reader) io.Reader {
			z, err := gzip.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
		"identity": func(r io.Reader) io.Reader { return r },
	} {
		a := ask(f, "GET", "Accept-Encoding: "+accept)
		body, _ := io.ReadAll(a.Body)
		got, err := io.ReadAll(decode(bytes.NewReader(body)))
		if err != nil || !bytes.Equal(got, text) || a.StatusCode != 200 || a.Header.Get("Vary") != "Accept-Encoding" {
			t.Error(accept, a.StatusCode, a.Header, err)
		}
		if a.ContentLength != int64(len(body)) || accept != "identity" && len(body) > len(text)/5 {
			t.Error(accept, a.ContentLength, len(body))
		}
		tag := a.Header.Get("ETag")
		if tags[tag] {
			t.Error("two forms have the tag", tag)
		}
		tags[tag] = true
		for known, status := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200} {
			if a := ask(f, "GET", "Accept-Encoding: "+accept, "If-None-Match: "+known); a.StatusCode != status || a.Header.Get("ETag") != tag {
				t.Error(accept, known, a.StatusCode, a.Header)
			}
		}
		head := ask(f, "HEAD", "Accept-Encoding: "+accept)
		if b, _ := io.ReadAll(head.Body); len(b) > 0 || head.ContentLength != int64(len(body)) || head.Header.Get("Content-Encoding") != a.Header.Get("Content-Encoding") {
			t.Error(accept, "HEAD", head.Header, len(b))
		}
		part := ask(f, "GET", "Accept-Encoding: "+accept, "Range: bytes=1-2", "If-Range: "+tag)
		if part.StatusCode != 200 || part.ContentLength != int64(len(body)) || part.Header.Get("Accept-Ranges") != "none" {
			t.Error(accept, "part of a form:", part.StatusCode, part.Header)
		}
	}
	for _, small := range []*File{NewFile("a.js", []byte("small")), NewFile("a.png", text), NewFile("odd", text)} {
		if a := ask(small, "GET", "Accept-Encoding: gzip, br"); a.Header.Get("Content-Encoding") != "" {
			t.Error("not worth it:", a.Header)
		}
	}
}

func TestHashedNames(t *testing.T) {
	var s Set
	s.Put("static/a.css", []byte("p {}"))
	hashed := s.Hashed("static/a.css")
	for name, want := range map[string]string{
		"static/a.css":                  Revalidate,
		hashed:                          Forever,
		"static/a.0123456789abcdef.css": Never, // of the version before
		"static/a.0123456789abcde.css":  "",
		"static/a.0123456789abcdeg.css": "",
		"static/b.0123456789abcdef.css": "",
		"static/.0123456789abcdef.css":  "",
		"":                              "",
	} {
		if f, caching := s.Find(name); caching != want || (f == nil) != (want == "") {
			t.Errorf("%s: %q, want %q", name, caching, want)
		}
	}
}

const page = `<head>
  <link rel="icon" href="/static/dot.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/static/a.css">
  <link rel="stylesheet" href="/static/b.css">
  <link rel="modulepreload" href="/client/x.js">
  <script type="module" src="/static/a.js"></script>
</head><use href="/static/dot.svg#part"></use>
`

func tree(script string) fstest.MapFS {
	return fstest.MapFS{
		"static/page.html": {Data: []byte(page)}, "static/a.css": {Data: []byte("a{}")}, "static/b.css": {Data: []byte("b{}")},
		"static/a.js": {Data: []byte(script)}, "static/dot.svg": {Data: []byte("<svg/>")},
	}
}

func TestSite(t *testing.T) {
	var asked []string
	bundler := func(name, sources string) []byte {
		asked = append(asked, name+" "+sources)
		return []byte("bundle('/static/dot.svg#x')")
	}
	s := Site(tree("1"), bundler)
	html := string(s.File("static/page.html").Content)
	for _, want := range []string{s.Hashed("static/a-b.min.css"), s.Hashed("static/a.min.js"), s.Hashed("static/dot.svg") + "#part"} {
		if !strings.Contains(html, `"/`+want) {
			t.Errorf("%s is not in %s", want, html)
		}
	}
	if strings.Contains(html, "modulepreload") || strings.Count(html, "stylesheet") != 1 {
		t.Error(html)
	}
	if got := string(s.File("static/a-b.min.css").Content); got != "a{}b{}" {
		t.Error(got)
	}
	if got := string(s.File("static/a.min.js").Content); got != "bundle('/"+s.Hashed("static/dot.svg")+"#x')" {
		t.Error(got)
	}
	if got := string(s.File("static/a.js").Content); got != "1" {
		t.Error("the module is not there any more:", got)
	}
	Site(tree("2"), bundler)
	if len(asked) != 2 || asked[0] == asked[1] {
		t.Error("a changed script is served in its old bundle:", asked)
	}
	lazy := tree("1")
	lazy["client/far/x.js"] = &fstest.MapFile{Data: []byte("import './y.js'")}
	for _, made := range []bool{true, false} {
		s = Site(lazy, func(name, _ string) []byte {
			switch {
			case name == "static/a.js":
				return []byte(`import("../client/far/x.min.js"),import("./b.js")`)
			case name == "client/far/x.js" && made:
				return []byte("x and y")
			case name == "client/far/x.js":
				return nil
			}
			t.Error("a bundle of", name)
			return nil
		})
		if got := string(s.File("client/far/x.min.js").Content); got != map[bool]string{true: "x and y", false: "import './y.js'"}[made] {
			t.Error("what is loaded when it is needed:", got)
		}
	}
	speaking := tree("1")
	speaking["static/page.html"].Data = []byte(page + "[[a.b]]")
	speaking["static/words/en.json"] = &fstest.MapFile{Data: []byte(`{"language":{"name":"English","dir":"ltr"},"a":{"b":"Hello"}}`)}
	speaking["static/words/de.json"] = &fstest.MapFile{Data: []byte(`{"language":{"name":"Deutsch","dir":"ltr"},"a":{"b":"Hallo"}}`)}
	asked = nil
	s = Site(speaking, bundler)
	for tag, want := range map[string]string{"en": "Hello", "de": "Hallo"} {
		html := string(s.File(InLanguage("static/page.html", tag)).Content)
		if !strings.Contains(html, want) || !strings.Contains(html, s.Hashed("static/a.min.js")) {
			t.Error(tag, html)
		}
	}
	if s.File("static/page.html") != nil || len(asked) != 1 {
		t.Error("there is a page without words, or two bundles:", asked)
	}
	plain := string(Site(tree("1"), func(string, string) []byte { return nil }).File("static/page.html").Content)
	if !strings.Contains(plain, `src="/static/a.js"`) || !strings.Contains(plain, "modulepreload") {
		t.Error("without a bundle:", plain)
	}
}

func TestInline(t *testing.T) {
	tree := tree("1")
	tree["static/again.js"] = &fstest.MapFile{Data: []byte("{ again(); }\n")}
	tree["static/page.html"].Data = []byte(`<script src="/static/again.js" data-title="Not all of it"></script><script src="/static/none.js"></script>`)
	s := Site(tree, func(string, string) []byte { return nil })
	html := string(s.File("static/page.html").Content)
	if want := `<script data-title="Not all of it">{ again(); }</script><script src="/static/none.js"></script>`; html != want {
		t.Error(html)
	}
	// echo -n '{ again(); }' | openssl dgst -sha256 -binary | base64
	if got := s.InlineSource("static/again.js"); got != "'sha256-M/u5ZoHWVRnYTHFoCpBB0ccemb9zkqrQo7hCQOeI2CQ='" {
		t.Error(got)
	}
}
