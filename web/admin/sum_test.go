package admin

import (
	"encoding/json"
	"testing"
)

// TestCountsOfAnOlderVersion reads what the process before an upgrade tells, in the names
// that its version knows: a field that is renamed here keeps its name there.
func TestCountsOfAnOlderVersion(t *testing.T) {
	var c Counts
	told := `{"Relay":{"Created":1},"Hub":{"Sockets":2,"Sessions":3,"Strangers":4,"Rooms":5},"Ports":{"Accepted":{"http":6}},"Web":{"Credentials":7}}`
	if err := json.Unmarshal([]byte(told), &c); err != nil {
		t.Fatal(err)
	}
	got := [...]int{int(c.Relay.Created), c.Hub.Sockets, c.Hub.Sessions, c.Hub.DialectClients, c.Hub.Rooms, int(c.Ports.Accepted["http"]), int(c.Web.Credentials)}
	if want := [...]int{1, 2, 3, 4, 5, 6, 7}; got != want {
		t.Errorf("understood %v, want %v", got, want)
	}
}
