package probe

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"time"
)

// streamed sees whether what the server says comes at once, by /check/stream, whose two
// lines are a second apart. ok is false for a server that has no such page.
func (c *checker) streamed(ctx context.Context, s site) (row Row, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, eachTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.page("/check/stream"), nil)
	if err != nil {
		return Row{}, false
	}
	transport := c.transport()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return Row{}, false
	}
	defer response.Body.Close()
	body := bufio.NewReader(io.LimitReader(response.Body, 1<<10))
	now, err := body.ReadString('\n')
	if response.StatusCode != http.StatusOK || err != nil || now != "now\n" {
		return Row{}, false
	}
	first := time.Now()
	if rest, err := io.ReadAll(body); err != nil || len(rest) == 0 {
		return Row{}, false
	}
	row = Row{Verdict: OK, Subject: "a streamed answer", Detail: "comes as it is sent"}
	if time.Since(first) < streamGap {
		proxy := proxyOf(response.Header)
		mend := line(buffers, proxy)
		row = Row{Verdict: Warned, Subject: row.Subject, Detail: "comes all at once, when it has ended: something in front keeps bodies back" + of(proxy),
			Remedy: "calls work; what is shown as it happens, such as the console's figures, comes late or never: " + mend}
	}
	return row, true
}

// streamGap is half of what the server lets pass between the two lines.
const streamGap = 500 * time.Millisecond
