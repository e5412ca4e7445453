package admin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"turnhub/events"
)

// schema is a part of OpenAPI's: as much as ours uses, and nothing else is in it.
type schema struct {
	Ref         string             `yaml:"$ref"`
	Type        string             `yaml:"type"`
	Properties  map[string]*schema `yaml:"properties"`
	Required    []string           `yaml:"required"`
	More        *bool              `yaml:"additionalProperties"`
	Items       *schema            `yaml:"items"`
	Enum        []string           `yaml:"enum"`
	Minimum     *float64           `yaml:"minimum"`
	Maximum     *float64           `yaml:"maximum"`
	Description string             `yaml:"description"`
}

type content map[string]struct {
	Schema *schema `yaml:"schema"`
}

type operation struct {
	Summary    string `yaml:"summary"`
	Parameters []struct {
		Name        string  `yaml:"name"`
		In          string  `yaml:"in"`
		Schema      *schema `yaml:"schema"`
		Description string  `yaml:"description"`
	} `yaml:"parameters"`
	RequestBody *struct {
		Required bool    `yaml:"required"`
		Content  content `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]response `yaml:"responses"`
}

type response struct {
	Ref         string  `yaml:"$ref"`
	Description string  `yaml:"description"`
	Content     content `yaml:"content"`
}

type description struct {
	OpenAPI    string                           `yaml:"openapi"`
	Info       map[string]string                `yaml:"info"`
	Servers    []map[string]string              `yaml:"servers"`
	Security   []map[string][]string            `yaml:"security"`
	Paths      map[string]map[string]*operation `yaml:"paths"`
	Components struct {
		SecuritySchemes map[string]map[string]string `yaml:"securitySchemes"`
		Responses       map[string]response          `yaml:"responses"`
		Schemas         map[string]*schema           `yaml:"schemas"`
	} `yaml:"components"`
}

func readDescription(t *testing.T) *description {
	d := new(description)
	decoder := yaml.NewDecoder(strings.NewReader(string(openAPI)))
	decoder.KnownFields(true) // a word that this test does not understand holds nothing
	if err := decoder.Decode(d); err != nil {
		t.Fatal(err)
	}
	return d
}

// fits reports what of a JSON value a schema does not say.
func (d *description) fits(s *schema, value any, at string) error {
	if s == nil {
		return fmt.Errorf("%s: no schema", at)
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.fits(d.Components.Schemas[name], value, at)
	}
	wrong := fmt.Errorf("%s: %v is no %s", at, value, s.Type)
	switch s.Type {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrong
		}
		if s.More == nil && at != "" {
			return fmt.Errorf("%s: it is not said whether there may be more", at)
		}
		for _, name := range s.Required {
			if _, there := object[name]; !there {
				return fmt.Errorf("%s: %s is missing", at, name)
			}
		}
		for name, v := range object {
			if s.Properties[name] == nil {
				if s.More != nil && *s.More {
					continue
				}
				return fmt.Errorf("%s: %s is not described", at, name)
			}
			if err := d.fits(s.Properties[name], v, at+"."+name); err != nil {
				return err
			}
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		for i, v := range list {
			if err := d.fits(s.Items, v, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "string":
		text, ok := value.(string)
		if !ok || s.Enum != nil && !slices.Contains(s.Enum, text) {
			return wrong
		}
	case "integer":
		if n, ok := value.(float64); !ok || n != float64(int64(n)) {
			return wrong
		}
	case "number":
		if _, ok := value.(float64); !ok {
			return wrong
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong
		}
	default:
		return fmt.Errorf("%s: the type %q", at, s.Type)
	}
	return nil
}

// TestOpenAPI holds the description against the code: the same operations, and every
// answer, good or bad, of the described form and nothing beyond it.
func TestOpenAPI(t *testing.T) {
	d := readDescription(t)
	var described, served []string
	for path, operations := range d.Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range (&console{}).routes() {
		served = append(served, r.method+" "+r.path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Fatalf("described %v\nserved %v", described, served)
	}

	server, _ := newAPI(t, nil)
	tried := make(map[string]bool)
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/openapi.yaml", "", 200},
		{"POST", "/credentials", `{"user":"anna","ttl":"90m"}`, 200},
		{"POST", "/credentials", `{"user":"s_a"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"9000h"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"soon"}`, 400},
		{"POST", "/credentials", `{"user":"anna","ttl":"-1h"}`, 400},
		{"POST", "/credentials", `[]`, 400},
		{"POST", "/credentials", `{"user":"` + strings.Repeat("a", 5000) + `"}`, 413},
		{"GET", "/calls", "", 200},
		{"POST", "/calls/end", `{"call":"c_1"}`, 200},
		{"POST", "/calls/end", `{"call":"c_none"}`, 404},
		{"POST", "/calls/end", `{}`, 400},
		{"GET", "/people", "", 200},
		{"POST", "/users/revoke", `{"user":"anna"}`, 200},
		{"POST", "/users/revoke", `{}`, 400},
		{"GET", "/usage?from=2026-11-01&to=2026-11-30&user=anna", "", 200},
		{"GET", "/usage", "", 200},
		{"GET", "/usage?from=yesterday", "", 400},
		{"GET", "/history?from=2026-11-01&to=2026-11-28T10:00:00Z&text=a&type=call.ended&type=call.missed&limit=5", "", 200},
		{"GET", "/history?after=more", "", 200},
		{"GET", "/history?after=wrong", "", 400},
		{"GET", "/history?limit=0", "", 400},
		{"GET", "/history?limit=1001", "", 400},
		{"GET", "/history?from=x", "", 400},
		{"GET", "/history.csv", "", 200},
		{"GET", "/webhooks", "", 200},
	} {
		path, _, _ := strings.Cut(tc.path, "?")
		tried[tc.method+" "+path] = true
		op := d.Paths[path][strings.ToLower(tc.method)]
		if tc.body != "" && tc.status == 200 {
			var sent any
			if json.Unmarshal([]byte(tc.body), &sent) != nil || d.fits(op.RequestBody.Content["application/json"].Schema, sent, "request") != nil {
				t.Errorf("%s %s: %s is not described", tc.method, tc.path, tc.body)
			}
		}
		for _, parameter := range regexp.MustCompile(`[?&](\w+)=`).FindAllStringSubmatch(tc.path, -1) {
			if !slices.ContainsFunc(op.Parameters, func(p struct {
				Name        string  `yaml:"name"`
				In          string  `yaml:"in"`
				Schema      *schema `yaml:"schema"`
				Description string  `yaml:"description"`
			}) bool {
				return p.Name == parameter[1] && p.In == "query"
			}) {
				t.Errorf("%s: the parameter %s is not described", tc.path, parameter[1])
			}
		}
		status, header, text := call1(t, tc.method, server.URL+apiPath+tc.path, tc.body, "")
		if status != tc.status {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, status, text)
			continue
		}
		said, known := op.Responses[fmt.Sprint(status)]
		if !known {
			said = op.Responses["default"]
		}
		if name, ok := strings.CutPrefix(said.Ref, "#/components/responses/"); ok {
			said = d.Components.Responses[name]
		}
		kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
		form, known := said.Content[kind]
		if !known {
			t.Errorf("%s %s: %d as %q is not described", tc.method, tc.path, status, kind)
			continue
		}
		if kind != "application/json" {
			continue
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.path, err)
		} else if err := d.fits(form.Schema, value, "answer"); err != nil {
			t.Errorf("%s %s: %v in %s", tc.method, tc.path, err, text)
		}
	}
	for _, one := range served {
		if !tried[one] {
			t.Errorf("%s is not tried", one)
		}
	}
	for path, operations := range d.Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			if operations[strings.ToLower(method)] != nil {
				continue
			}
			status, header, text := call1(t, method, server.URL+apiPath+path, "{}", "")
			var said map[string]string
			allow := header.Get("Allow")
			if json.Unmarshal(text, &said) != nil || status != 405 || said["error"] == "" || allow == "" || operations[strings.ToLower(allow)] == nil {
				t.Errorf("%s %s: %d, Allow %q, %s", method, path, status, allow, text)
			}
		}
	}
	if status, _, _ := call1(t, "GET", server.URL+"/api/v2/calls", "", ""); status != 404 {
		t.Error(status)
	}
}

// TestDescribedEvents: what the API says of events is what docs and webhooks say, too.
func TestDescribedEvents(t *testing.T) {
	d := readDescription(t)
	types := slices.Clone(d.Components.Schemas["event"].Properties["type"].Enum)
	if want := append(slices.Clone(events.Types), events.Test); !slices.Equal(types, want) {
		t.Errorf("%v, want %v", types, want)
	}
}
