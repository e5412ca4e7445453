package main

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	// architectureFile is a path of the repository in the text, and after it, between
	// the same marks or in parentheses, what it declares.
	architectureFile = regexp.MustCompile("`([a-zA-Z0-9_./-]+\\.(?:go|js|mjs|html|css|md|yaml|json|sh)|[a-zA-Z0-9_./-]+/)`(?: \\(((?:`[A-Za-z0-9_.#*]+`(?:, )?)+)\\))?")
	// architectureWalk is the heading of a walk, which says how many files it may enter.
	architectureWalk = regexp.MustCompile(`(?m)^### (.+): at most (\d+) files$`)
)

// TestArchitecture holds docs/architecture.md against the tree: each file and folder
// that it names exists, each function that it names stands in the file that it is said
// to stand in, and no walk enters more files than it says.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := architectureFile.FindAllStringSubmatch(string(text), -1)
	if len(named) < 40 {
		t.Fatalf("only %d files were found in the text", len(named))
	}
	for _, m := range named {
		path := filepath.Join("../..", m[1])
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is named and does not exist", m[1])
			continue
		}
		for _, name := range strings.FieldsFunc(m[2], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
			if !declares(t, path, name) {
				t.Errorf("%s does not declare %s", m[1], name)
			}
		}
	}
	walks := architectureWalk.FindAllStringSubmatchIndex(string(text), -1)
	if len(walks) < 3 {
		t.Errorf("only %d walks", len(walks))
	}
	for _, w := range walks {
		body, _, _ := strings.Cut(string(text[w[1]:]), "\n#")
		files := make(map[string]bool)
		for _, m := range architectureFile.FindAllStringSubmatch(body, -1) {
			files[m[1]] = true
		}
		if most, _ := strconv.Atoi(string(text[w[4]:w[5]])); len(files) > most || len(files) == 0 {
			t.Errorf("%s: %d files, at most %d", text[w[2]:w[3]], len(files), most)
		}
	}
}

// declares reports whether a file declares a function, method, type, variable or
// constant; of a method the last part of its name counts.
func declares(t *testing.T, path, name string) bool {
	t.Helper()
	name = name[strings.LastIndexAny(name, ".#")+1:]
	if filepath.Ext(path) != ".go" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		word := regexp.MustCompile(`(?m)^[ \t]*(?:export )?(?:default )?(?:async )?(?:static )?(?:function\*? |class |const |let |get |set |#)?` + regexp.QuoteMeta(name) + `\b`)
		return word.Match(text)
	}
	file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name {
				return true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.Name == name {
						return true
					}
				case *ast.ValueSpec:
					for _, id := range s.Names {
						if id.Name == name {
							return true
						}
					}
				}
			}
		}
	}
	return false
}
