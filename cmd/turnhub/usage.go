package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"turnhub/internal/config"
)

// usage lists the commands.
func usage(w io.Writer) {
	fmt.Fprintln(w, "turnhub makes WebRTC calls connect: a TURN relay, a signaling hub and their pages in one program.")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  turnhub %s\n        %s\n", strings.TrimSpace(c.name+" "+c.usage), c.summary)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "`turnhub help COMMAND` explains one. Without --config it runs on built-in defaults.")
	fmt.Fprintln(w, "TURNHUB_<OPTION> variables override any option, TURNHUB_<OPTION>_FILE reads one from a file.")
}

// help explains a command with the flags that it parses.
func (c command) help(w io.Writer, set *flag.FlagSet) {
	fmt.Fprintf(w, "usage: turnhub %s\n\n", strings.TrimSpace(c.name+" "+c.usage))
	text := strings.ToUpper(c.summary[:1]) + c.summary[1:] + "."
	if c.about != "" {
		text += " " + c.about
	}
	fmt.Fprintln(w, fold(text, "", 80))
	first := true
	set.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(w, "\nflags:")
			first = false
		}
		value, meaning := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "0s" {
			meaning += " (default " + strings.TrimSuffix(strings.TrimSuffix(f.DefValue, "0s"), "0m") + ")"
		}
		fmt.Fprintf(w, "  --%s %s\n%s\n", f.Name, value, fold(meaning, "        ", 80))
	})
	if len(c.examples) > 0 {
		fmt.Fprintln(w, "\nexamples:")
		for _, e := range c.examples {
			fmt.Fprintln(w, "  turnhub "+e)
		}
	}
	fmt.Fprintln(w, "\nIt exits with 0 when done, 1 when it failed, 2 for wrong usage.")
}

// fold breaks text into lines of at most width characters.
func fold(text, indent string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// flags parses a command's flags, which may stand before and behind its other
// arguments; rest says how many of those it takes. The error is flag.ErrHelp when
// help was wanted and has been given.
func (in invocation) flags(rest int, define func(*flag.FlagSet)) (file string, others []string, err error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if in.command.name != "version" && in.command.name != "detach" {
		set.StringVar(&file, "config", "", "the configuration `FILE`; without it the built-in defaults, and TURNHUB_ variables in any case")
	}
	if define != nil {
		define(set)
	}
	for args := in.args; len(args) > 0; {
		if err := set.Parse(args); err == flag.ErrHelp {
			in.command.help(in.stdout, set)
			return "", nil, err
		} else if err != nil {
			return "", nil, usageError{strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1)}
		}
		if args = set.Args(); len(args) > 0 {
			others, args = append(others, args[0]), args[1:]
		}
	}
	if len(others) > rest {
		return "", nil, usageError{fmt.Sprintf("%q is one argument too many", others[rest])}
	}
	return file, others, nil
}

// load reads the configuration for a command other than serve, and says on
// standard error what looks wrong about it.
func (in invocation) load(file string) (*config.Config, error) {
	cfg, err := config.Load(file, in.environ)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintln(in.stderr, "warning:", w.Error())
	}
	return cfg, nil
}
