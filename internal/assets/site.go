package assets

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"turnhub/internal/words"
)

// WordsFolder is where a site has the texts of its pages.
const WordsFolder = "static/words"

// A Bundler returns one script that does what the module name of the site and all that it
// imports do; nil: there is none. sources is the hash of every script of the site.
type Bundler func(name, sources string) []byte

// MadeBundle is the Bundler of what generate has made.
func MadeBundle(name, sources string) []byte {
	return Made(BundleHash(name, sources), "js")
}

// BundleHash names a bundle in the folder made.
func BundleHash(name, sources string) string { return Hash([]byte(name + "\n" + sources)) }

var (
	stylesheets = regexp.MustCompile(`(?m)(^ *<link rel="stylesheet" href="/static/[^"]+">\n)+`)
	stylesheet  = regexp.MustCompile(`href="/(static/[^"]+)"`)
	script      = regexp.MustCompile(`<script type="module" src="/static/([^"]+)">`)
	preload     = regexp.MustCompile(`(?m)^ *<link rel="modulepreload" href="[^"]+">\n`)
	inline      = regexp.MustCompile(`<script src="/(static/[a-z]+\.js)"([^>]*)></script>`)
	picture     = regexp.MustCompile(`/(static/[a-z-]+\.svg)\b`)
	later       = regexp.MustCompile(`\bimport\("\.\./(client/[^"]+)\.min\.js"\)`)
)

// Site returns the folders static and client of tree, with the pages in static asking
// for few files, each by a name that browsers keep for good: one stylesheet, the
// pictures, and one script where there is a bundle. A script that is no module is put into the page. The files that these are made of
// stay where they are, for pages of others. What holds keys of texts is there once for
// each language instead: page.html as page.en.html, page.de.html.
func Site(tree fs.FS, bundle Bundler) *Set {
	s := new(Set)
	s.Add(tree)
	s.speak(tree)
	sources := s.scripts()
	bundles := map[string]string{} // by script
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if path.Ext(name) == ".html" {
			s.Put(name, s.page(s.files[name].Content, func(script string) string {
				if _, known := bundles[script]; !known {
					bundles[script] = s.bundle(script, sources, bundle)
				}
				return bundles[script]
			}))
		}
	}
	return s
}

// speak fills in the texts of every language.
func (s *Set) speak(tree fs.FS) {
	languages, err := words.Load(tree, WordsFolder)
	if err != nil {
		panic(err) // the site is built in
	}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		ext := path.Ext(name)
		content := s.files[name].Content
		if ext != ".html" && ext != ".webmanifest" || !words.Wanted(content) {
			continue
		}
		for l := range languages.All {
			s.Put(InLanguage(name, l.Tag), l.Fill(content))
		}
		delete(s.files, name)
	}
}

// InLanguage names a page of one language: page.html is page.de.html.
func InLanguage(name, tag string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + tag + ext
}

// scripts returns the hash of all scripts and their names.
func (s *Set) scripts() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if path.Ext(name) == ".js" {
			fmt.Fprintln(sum, name, s.files[name].Hash)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// bundle adds the bundle of a script and returns its name, "" where there is none.
func (s *Set) bundle(script, sources string, bundle Bundler) string {
	content := bundle("static/"+script, sources)
	if content == nil {
		return ""
	}
	for _, at := range later.FindAllSubmatch(content, -1) {
		s.bundleLater(string(at[1]), sources, bundle)
	}
	name := "static/" + strings.TrimSuffix(script, ".js") + ".min.js"
	s.Put(name, s.pictures(content))
	return s.Hashed(name)
}

// bundleLater adds the bundle of a module of the client that a page loads when it is needed.
// It lies beside the module, for what that asks for by relative names, and has no hash: a page
// that has been open since before an upgrade asks for it by the same name.
func (s *Set) bundleLater(module, sources string, bundle Bundler) {
	content := bundle(module+".js", sources)
	if content == nil {
		content = s.files[module+".js"].Content
	}
	s.Put(module+".min.js", content)
}

// pictures has a page or script ask for pictures by their hashed names.
func (s *Set) pictures(content []byte) []byte {
	return picture.ReplaceAllFunc(content, func(at []byte) []byte {
		if name := string(at[1:]); s.files[name] != nil {
			return []byte("/" + s.Hashed(name))
		}
		return at
	})
}

// Inline returns a script as it is in pages that ask for it by <script src="/static/x.js">: what
// looks after the files of a page must not be one of them.
func (s *Set) Inline(name string) []byte { return bytes.TrimSpace(s.files[name].Content) }

// InlineSource is that script in a Content-Security-Policy (CSP Level 3 section 8.4).
func (s *Set) InlineSource(name string) string {
	sum := sha256.Sum256(s.Inline(name))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page rewrites a page of HTML.
func (s *Set) page(content []byte, bundled func(script string) string) []byte {
	content = stylesheets.ReplaceAllFunc(content, func(links []byte) []byte {
		var all bytes.Buffer
		var stems []string
		for _, link := range stylesheet.FindAllSubmatch(links, -1) {
			name := string(link[1])
			if s.files[name] == nil {
				return links
			}
			all.Write(s.files[name].Content)
			stems = append(stems, strings.TrimSuffix(path.Base(name), ".css"))
		}
		name := "static/" + strings.Join(stems, "-") + ".min.css"
		s.Put(name, all.Bytes())
		return fmt.Appendf(nil, "  <link rel=\"stylesheet\" href=\"/%s\">\n", s.Hashed(name))
	})
	content = inline.ReplaceAllFunc(content, func(tag []byte) []byte {
		at := inline.FindSubmatch(tag)
		if s.files[string(at[1])] == nil {
			return tag
		}
		return fmt.Appendf(nil, "<script%s>%s</script>", at[2], s.Inline(string(at[1])))
	})
	if at := script.FindSubmatch(content); at != nil {
		if name := bundled(string(at[1])); name != "" {
			content = script.ReplaceAllLiteral(content, fmt.Appendf(nil, `<script type="module" src="/%s">`, name))
			content = preload.ReplaceAllLiteral(content, nil)
		}
	}
	return s.pictures(content)
}
