// The command generate writes to internal/assets/made what is made of the pages at
// build time: one minified script for each page, and every file compressed by Brotli
// and gzip as small as they can. Each is named by the hash of what it was made of, so
// that the server never serves one that is out of date.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"

	"turnhub/internal/assets"
)

// From internal/assets, where go generate starts this.
const (
	made = "made"
	site = "../../web"
)

// others are files that are served beside the site.
var others = []string{"../../web/admin/static", "../../signaling/socketio/vendor"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	tree := fstest.MapFS{}
	for _, folder := range []string{"static", "client"} {
		if err := read(tree, site, folder); err != nil {
			return err
		}
	}
	wanted := map[string]func() ([]byte, error){} // by name in made
	var failed error
	all := assets.Site(tree, func(name, sources string) []byte {
		script, err := bundle(name)
		failed = errors.Join(failed, err)
		wanted[assets.BundleHash(name, sources)+".js"] = func() ([]byte, error) { return script, nil }
		return script
	})
	for _, folder := range others {
		other := fstest.MapFS{}
		if err := read(other, folder, "."); err != nil {
			return err
		}
		for name, file := range other {
			all.Put(folder+"/"+name, file.Data)
		}
	}
	for name := range all.Names {
		f := all.File(name)
		if !f.Squeezable() {
			continue
		}
		wanted[f.Hash+".br"] = func() ([]byte, error) {
			return squeeze(f.Content, func(out *bytes.Buffer) writer { return brotli.NewWriterLevel(out, 11) })
		}
		wanted[f.Hash+".gz"] = func() ([]byte, error) {
			return squeeze(f.Content, func(out *bytes.Buffer) writer { w, _ := gzip.NewWriterLevel(out, 9); return w })
		}
	}
	return errors.Join(failed, write(wanted))
}

// read adds the files that the server embeds: those of the client are its scripts, its
// types, and what vendor has that is no source.
func read(tree fstest.MapFS, root, folder string) error {
	dir := os.DirFS(root)
	return fs.WalkDir(dir, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if folder == "client" && (name == "client/node_modules" || name == "client/test") {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); folder == "client" && ext != ".js" && ext != ".wasm" && ext != ".txt" && name != "client/turnhub.d.ts" {
			return nil
		}
		content, err := fs.ReadFile(dir, name)
		tree[name] = &fstest.MapFile{Data: content}
		return err
	})
}

// bundle makes one script of the module name of the site and what it imports.
func bundle(name string) ([]byte, error) {
	root, err := filepath.Abs(site)
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(root, name)},
		Bundle:      true, Format: api.FormatESModule, Target: api.ES2022,
		MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
		LegalComments: api.LegalCommentsEndOfFile, Charset: api.CharsetUTF8,
		Plugins: []api.Plugin{{Name: "site", Setup: func(b api.PluginBuild) {
			// What is loaded when it is needed stays a file of its own, named from where the bundle is served. Of the
			// client's, a page asks for a bundle: far away, its files would come one level of imports after the other.
			b.OnResolve(api.OnResolveOptions{Filter: `^\.`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
				if a.Kind != api.ResolveJSDynamicImport {
					return api.OnResolveResult{}, nil
				}
				wanted, err := filepath.Rel(filepath.Join(root, path.Dir(name)), filepath.Join(a.ResolveDir, a.Path))
				wanted = filepath.ToSlash(wanted)
				if strings.HasPrefix(wanted, "../client/") {
					wanted = strings.TrimSuffix(wanted, ".js") + ".min.js"
				} else if !strings.HasPrefix(wanted, ".") {
					wanted = "./" + wanted
				}
				return api.OnResolveResult{Path: wanted, External: true}, err
			})
			// As the server does: /client/x.js is in client, /static/x.js in static.
			b.OnResolve(api.OnResolveOptions{Filter: "^/(client|static)/"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
				return api.OnResolveResult{Path: filepath.Join(root, a.Path)}, nil
			})
		}}},
	})
	for _, e := range result.Errors {
		err = errors.Join(err, fmt.Errorf("bundle %s: %s", name, e.Text))
	}
	if err != nil {
		return nil, err
	}
	return result.OutputFiles[0].Contents, nil
}

type writer interface {
	Write([]byte) (int, error)
	Close() error
}

func squeeze(content []byte, open func(*bytes.Buffer) writer) ([]byte, error) {
	var out bytes.Buffer
	w := open(&out)
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// isMade reports whether a file of made has this content.
func isMade(name string, content func() ([]byte, error)) bool {
	want, err := content()
	old, err2 := os.ReadFile(filepath.Join(made, name))
	return err == nil && err2 == nil && bytes.Equal(want, old)
}

// write makes what is missing and removes what nothing asks for any more.
func write(wanted map[string]func() ([]byte, error)) error {
	entries, err := os.ReadDir(made)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if content, ok := wanted[e.Name()]; ok {
			if filepath.Ext(e.Name()) != ".js" || isMade(e.Name(), content) { // a bundle may be of an older bundler
				delete(wanted, e.Name())
			}
		} else if e.Name() != "README" {
			if err := os.Remove(filepath.Join(made, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for name, content := range wanted {
		bytes, err := content()
		if err != nil {
			return err
		}
		// Whole or not at all: what is there is never made again. Beside the directory, which
		// a build may be reading; and another one may be at the same file.
		unfinished, err := os.CreateTemp(".", ".made-*")
		if err != nil {
			return err
		}
		_, err = unfinished.Write(bytes)
		if err = errors.Join(err, unfinished.Chmod(0o644), unfinished.Close()); err == nil {
			err = os.Rename(unfinished.Name(), filepath.Join(made, name))
		}
		if err != nil {
			os.Remove(unfinished.Name())
			return err
		}
	}
	return nil
}
