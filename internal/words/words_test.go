package words

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
)

func tree() fstest.MapFS {
	return fstest.MapFS{
		"words/en.json": {Data: []byte(`{"language":{"name":"English","dir":"ltr"},"a":{"hello":"Hello, {who}","only":"only here","n":{"one":"{n} file","other":"{n} files"}}}`)},
		"words/de.json": {Data: []byte(`{"language":{"name":"Deutsch","dir":"ltr"},"a":{"hello":"Hallo <{who}>"}}`)},
		"words/ar.json": {Data: []byte(`{"language":{"name":"العربية","dir":"rtl"},"a":{"hello":"مرحبا {who}"}}`)},
	}
}

func TestAccepted(t *testing.T) {
	all, err := Load(tree(), "words")
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"":                                  "en",
		"de":                                "de",
		"DE-at,de;q=0.9,en;q=0.8":           "de",
		"fr-CH, fr;q=0.9, en;q=0.8, de;q=1": "de",
		"en;q=0.3, de;q=0.5":                "de",
		"de;q=0, en":                        "en",
		"de;q=x, fr":                        "en",
		"fr, *;q=0.5, de;q=0.1":             "en",
		"ar-EG":                             "ar",
		strings.Repeat("fr,", 1000) + "de":  "en", // nobody means that
		"den":                               "en",
	} {
		if got := all.Accepted(header).Tag; got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestSay(t *testing.T) {
	all, _ := Load(tree(), "words")
	de := all.Tag("de-CH")
	for key, want := range map[string]string{"a.hello": "Hallo <Ö>", "a.only": "only here", "a.none": "a.none", "none": "none"} {
		if got := de.Say(key, "who", "Ö"); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	// A name has a direction of its own, and takes nothing of what is beside it along.
	if got, want := all.Tag("ar").Say("a.hello", "who", "Ida!\u2069\u202e"), "مرحبا \u2068Ida!\u2069"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := de.Say("a.hello", "who", "עידה"), "Hallo <\u2068עידה\u2069>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !de.Has("a.hello") || de.Has("a.only") || all.Tag("x") != nil {
		t.Error("has what it has not")
	}
}

func TestFill(t *testing.T) {
	all, _ := Load(tree(), "words")
	page := `<html lang="[[language]]" dir="[[language.dir]]">[[a.hello]]<select>[[languages]]</select><script>[[words a language]]</script>{{.Go}} [[Not one]]`
	got := string(all.Tag("de").Fill([]byte(page)))
	for _, want := range []string{
		`<html lang="de" dir="ltr">Hallo &lt;{who}&gt;<select>`, `<option value="de" lang="de" selected>Deutsch</option>`, `<option value="en" lang="en">English</option>`,
		`{{.Go}} [[Not one]]`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	script := got[strings.Index(got, "<script>")+8 : strings.Index(got, "</script>")]
	var said map[string]map[string]any
	if err := json.Unmarshal([]byte(script), &said); err != nil || said["a"]["hello"] != "Hallo <{who}>" || strings.Contains(script, "<") {
		t.Error(script, err)
	}
	if ar := string(all.Tag("ar").Fill([]byte(page))); !strings.Contains(ar, `dir="rtl"`) {
		t.Error(ar)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, content := range []string{`{`, `{"a":{"b":1}}`, `{"a":{"b":"c"}}`, `[]`} {
		if _, err := Load(fstest.MapFS{"words/en.json": {Data: []byte(content)}}, "words"); err == nil || !strings.Contains(err.Error(), "en.json") {
			t.Errorf("%s: %v", content, err)
		}
	}
}
