package stream

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// playLine has a sender that always has something go over a line of so many bytes a second,
// with that round trip and a queue without an end. It returns for how long a packet waited
// there at most, and when the trial was over, 0: never.
func playLine(rate int, roundTrip, lasts time.Duration) (worst, over time.Duration) {
	type packet struct {
		due time.Duration // when it is acknowledged
		end uint64
	}
	var (
		t      = trial{own: 87040}
		info   unix.TCPInfo
		flying []packet
		free   time.Duration // when the line has sent all that it holds
	)
	const began = time.Second
	for now := began; now < began+lasts; now += time.Millisecond {
		for len(flying) > 0 && flying[0].due <= now {
			info.Bytes_acked = flying[0].end
			flying = flying[1:]
		}
		t.look(int64(now), int64(roundTrip), &info)
		if t.over(int64(roundTrip)) {
			return worst, now - began
		}
		for len(flying)*(wholePacket+besidePacket) < 2*t.buffer(int64(roundTrip)) {
			free = max(free, now) + time.Duration(wholePacket*int(time.Second)/rate)
			info.Bytes_sent += wholePacket
			flying = append(flying, packet{due: free + roundTrip, end: info.Bytes_sent})
			worst = max(worst, free-now)
		}
	}
	return worst, 0
}

// TestTrialFollowsTheLine plays lines against the bound: on a narrow one no more waits than
// it takes in a moment, and a wide one is free after a few round trips.
func TestTrialFollowsTheLine(t *testing.T) {
	for _, roundTrip := range []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond} {
		for _, kbit := range []int{80, 130, 300} {
			rate := kbit * 125
			worst, over := playLine(rate, roundTrip, 10*time.Second)
			least := time.Duration((firstBytes + 2*wholePacket) * int(time.Second) / rate)
			if most := max(least, 150*time.Millisecond+roundTrip); worst > most || over > 0 {
				t.Errorf("%d kbit/s, round trip %v: a packet waited for %v (at most %v), the trial was over after %v", kbit, roundTrip, worst, most, over)
			}
		}
		for _, mbit := range []int{20, 100} {
			if _, over := playLine(mbit*125_000, roundTrip, 10*time.Second); over == 0 || over > 3*roundTrip+30*time.Millisecond {
				t.Errorf("%d Mbit/s, round trip %v: the trial was over after %v", mbit, roundTrip, over)
			}
		}
	}
}

// TestTrialEnds: over a fast connection the kernel has its send buffer back after the
// first answers.
func TestTrialEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	raw, err := served.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(fd uintptr, name int) int {
		value, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, name)
		if err != nil {
			t.Skipf("SKIPPED: this kernel does not give a send buffer back (Linux 5.14): %v", err)
		}
		return value
	}
	var ahead Ahead
	began := time.Now()
	if err := raw.Control(func(fd uintptr) {
		own := option(fd, unix.SO_SNDBUF)
		option(fd, unix.SO_BUF_LOCK)
		ahead.Open(int(fd))
		if held := option(fd, unix.SO_SNDBUF); held >= own || held > 4*firstBytes {
			t.Errorf("a new connection may hold %d bytes, the kernel's own figure is %d", held, own)
		}
	}); err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			if _, err := client.Read(buffer); err != nil {
				return
			}
		}
	}()
	for ended := false; !ended; {
		if _, err := served.Write(make([]byte, 1200)); err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			ahead.Look(int(fd), int64(time.Since(began))+1e9)
			ended = option(fd, unix.SO_BUF_LOCK)&unix.SOCK_SNDBUF_LOCK == 0
		}); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("a fast connection is held to %d bytes still", ahead.buffer)
		}
	}
}

// TestTrialOfSound: who sends sound alone never shows what a line takes. The kernel is asked
// as seldom as where there is no trial; and as often as before once pictures come as well,
// of which no more than a few go at once.
func TestTrialOfSound(t *testing.T) {
	type packet struct {
		due int64
		end uint64
	}
	for _, roundTrip := range []int64{1e6, 40e6, 100e6, 200e6} {
		tr := trial{own: 87040}
		var info unix.TCPInfo
		var flying []packet
		info.Bytes_acked = 1 // the SYN
		looked, looks, pictures := int64(0), 0, 0
		for now := int64(1e9); now < 12e9; now += 5e6 {
			send := uint64(0)
			if now%smallEvery == 0 {
				send = smallPacket
			}
			if now >= 11e9 { // a picture's worth at each step, as far as it is allowed
				send = wholePacket
				if inFlight := int(info.Bytes_sent-info.Bytes_acked+1) / wholePacket; inFlight*(wholePacket+besidePacket) >= 2*tr.buffer(roundTrip) {
					send = 0
				}
			}
			for len(flying) > 0 && flying[0].due <= now {
				info.Bytes_acked = flying[0].end
				flying = flying[1:]
			}
			if send == 0 {
				continue
			}
			info.Bytes_sent += send
			flying = append(flying, packet{now + roundTrip, info.Bytes_sent + 1})
			if looked != 0 && now-looked < tr.every() {
				continue
			}
			looked = now
			tr.look(now, roundTrip, &info)
			if now >= 11e9 {
				pictures++
			} else if now >= 2e9 {
				looks++
			}
		}
		if looks > 9*1e9/lookEvery {
			t.Errorf("round trip %d ms: the kernel was asked %d times in 9 s of sound", roundTrip/1e6, looks)
		}
		if first := firstBytes / wholePacket; !tr.over(roundTrip) && pictures <= first {
			t.Errorf("round trip %d ms: asked %d times when pictures came, and the trial is not over", roundTrip/1e6, pictures)
		}
	}
}
