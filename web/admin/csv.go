package admin

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"turnhub/events"
)

// csvHead are the columns of the history as CSV (RFC 4180).
var csvHead = []string{"time", "type", "call", "kind", "room", "people", "from", "to", "reason", "seconds", "path", "bytes", "relayed", "address", "times", "node", "id"}

// historyCSV is the history as a file, the newest first: all that is asked for, page
// by page.
func (c *console) historyCSV(w http.ResponseWriter, r *http.Request) {
	store, query, page, ok := c.firstPage(w, r)
	if !ok {
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="turnhub-history.csv"`)
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write(csvHead)
	for {
		for i := range page.Rows {
			_ = out.Write(csvRow(&page.Rows[i]))
		}
		out.Flush()
		if out.Error() != nil || page.Next == "" || query.Limit > 0 {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		query.After = page.Next
		var err error
		if page, err = store.History(query); err != nil {
			panic(http.ErrAbortHandler) // half a file must not look like a whole one
		}
	}
}

func csvRow(e *events.Event) []string {
	d := &e.Data
	call, relay := cmp.Or(d.Call, new(events.Call)), cmp.Or(d.Relay, new(events.Relaying))
	var people []string
	for _, p := range d.People {
		people = append(people, nameOf(&p))
	}
	from := cmp.Or(relay.User, relay.Session)
	if d.From != nil {
		from = nameOf(d.From)
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	row := []string{
		e.Time.Format("2006-01-02T15:04:05.000Z"), e.Type, call.ID, call.Kind, call.Room, strings.Join(people, "; "), from, d.To, d.Reason,
		fmt.Sprintf("%.3f", d.Seconds), d.Path, number(d.Bytes), number(d.Relayed), relay.Address, strconv.Itoa(relay.Times), e.Node, e.ID,
	}
	for i, cell := range row {
		row[i] = harmless(cell)
	}
	return row
}

func nameOf(p *events.Person) string { return cmp.Or(p.User, p.Name, p.Session) }

// harmless keeps a spreadsheet from taking what somebody has called himself for a
// formula. One that separates cells by semicolons or tabs, as where numbers have commas,
// begins a cell within one of ours.
func harmless(cell string) string {
	var out strings.Builder
	begins := true
	for _, r := range cell {
		if begins && strings.ContainsRune("=+-@\t\r\uff1d\uff0b\uff0d\uff20", r) { // of full width too
			out.WriteByte('\'')
		}
		out.WriteRune(r)
		begins = strings.ContainsRune(";\t\r\n", r) || begins && r == ' '
	}
	return out.String()
}
