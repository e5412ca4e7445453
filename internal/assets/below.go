package assets

import (
	"path"
	"regexp"
	"slices"
)

// rooted are the addresses in the files of a site that begin at its root: those of other
// files, of the start page, the network check and what it says on privacy. All others are relative.
var rooted = regexp.MustCompile("([\"'`(])/((?:static|client)/)|((?:href|src|action)=\")/(\"|(?:check|privacy)\\b|\\?)|(\"(?:start_url|scope|id|url|action)\": *\")/")

// texts are the kinds of files that hold addresses.
var texts = []string{".html", ".js", ".css", ".webmanifest"}

// Below returns the files of a site as they are where its root is at prefix, such as
// /calls. Their names stay, by which browsers keep them: they are asked for below it.
// Their tags are those of what they say now, since a browser that came before public_path
// was written has the others under the same addresses.
func (s *Set) Below(prefix string) *Set {
	below := new(Set)
	for name, f := range s.files {
		if !slices.Contains(texts, path.Ext(name)) {
			below.put(name, f)
			continue
		}
		moved := NewFile(name, rooted.ReplaceAll(f.Content, []byte("${1}${3}${5}"+prefix+"/${2}${4}")))
		moved.Hash = f.Hash
		below.put(name, moved)
	}
	return below
}

func (s *Set) put(name string, f *File) {
	if s.files == nil {
		s.files = make(map[string]*File)
	}
	s.files[name] = f
}
