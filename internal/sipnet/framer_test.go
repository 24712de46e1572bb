package sipnet

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func newFramer() *framer { return &framer{maxHead: 4 << 10, maxBody: 2 << 10} }

// feed gives f the bytes in pieces and describes what it cuts off.
func feed(f *framer, pieces ...string) []string {
	var units []string
	for _, p := range pieces {
		for p != "" {
			n := copy(f.space(), p)
			f.fill(n)
			p = p[n:]
			for {
				u, ok := f.next()
				if !ok {
					break
				}
				line, _, _ := strings.Cut(string(u.head), "\r\n")
				if u.err != nil {
					line = fmt.Sprintf("%v", u.err)
				} else {
					line = fmt.Sprintf("%s|%s", strings.Fields(line)[0], u.body)
				}
				units = append(units, line)
			}
		}
	}
	return units
}

func message(method, body string) string {
	return fmt.Sprintf("%s sip:a@b SIP/2.0\r\nCall-ID: 1\r\nl: %d\r\n\r\n%s", method, len(body), body)
}

func TestFramer(t *testing.T) {
	long := strings.Repeat("x", 5<<10)
	for _, tt := range []struct {
		name, in string
		want     []string
		pings    int
	}{
		{"one", message("INVITE", "v=0\r\n"), []string{"INVITE|v=0\r\n"}, 0},
		{"two glued", message("ACK", "") + message("BYE", ""), []string{"ACK|", "BYE|"}, 0},
		{"empty lines before", "\r\n" + message("BYE", ""), []string{"BYE|"}, 0},
		{"keep-alive", "\r\n\r\n" + message("BYE", "") + "\r\n\r\n\r\n\r\n", []string{"BYE|"}, 3},
		{"folded length", "BYE sip:a SIP/2.0\r\nContent-Length\t:\r\n  2\r\n\r\nhiACK", []string{"BYE|hi"}, 0},
		{"body like a message", message("MESSAGE", message("BYE", "")) + message("ACK", ""),
			[]string{"MESSAGE|" + message("BYE", ""), "ACK|"}, 0},
		{"no length", "BYE sip:a SIP/2.0\r\nX: y\r\n\r\n" + message("ACK", ""),
			[]string{"400 Bad Request (no Content-Length)", "ACK|"}, 0},
		{"no length, with a body", "BYE sip:a SIP/2.0\r\nX: y\r\n\r\nv=0\r\no=SIP\r\n" + message("ACK", ""),
			[]string{"400 Bad Request (no Content-Length)", "ACK|"}, 0},
		{"two lengths", "BYE sip:a SIP/2.0\r\nl: 0\r\nContent-Length: 0\r\n\r\n" + message("ACK", ""),
			[]string{"400 Bad Request (several Content-Length)", "ACK|"}, 0},
		{"length no number", "BYE sip:a SIP/2.0\r\nl: -1\r\n\r\n" + message("ACK", ""),
			[]string{"400 Bad Request (Content-Length is no number)", "ACK|"}, 0},
		{"length beyond 32 bits", "BYE sip:a SIP/2.0\r\nl: 99999999999\r\n\r\n" + message("ACK", ""),
			[]string{"400 Bad Request (Content-Length out of range)", "ACK|"}, 0},
		{"body too large", message("INFO", long) + message("ACK", ""), []string{"413 Request Entity Too Large", "ACK|"}, 0},
		{"headers too large", "INFO sip:a SIP/2.0\r\nX: " + long + "\r\n\r\n" + message("ACK", ""),
			[]string{"513 Message Too Large", "ACK|"}, 0},
		{"garbage", "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + message("ACK", ""), []string{"ACK|"}, 0},
		{"garbage without lines", long + long + long + "\r\n" + message("ACK", ""),
			[]string{"513 Message Too Large", "ACK|"}, 0},
		{"status line", "SIP/2.0 200 OK\r\nl: 0\r\n\r\n", []string{"SIP/2.0|"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFramer()
			if got := feed(f, tt.in); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %q", got)
			}
			if f.pings != tt.pings {
				t.Errorf("%d keep-alives", f.pings)
			}
			// Cut anywhere it must come out the same.
			if len(tt.in) > 2000 {
				return
			}
			for cut := 1; cut < len(tt.in); cut++ {
				f := newFramer()
				if got := feed(f, tt.in[:cut], tt.in[cut:]); fmt.Sprint(got) != fmt.Sprint(tt.want) || f.pings != tt.pings {
					t.Fatalf("cut at %d: %q, %d keep-alives", cut, got, f.pings)
				}
			}
			f = newFramer()
			if got := feed(f, strings.Split(tt.in, "")...); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("byte by byte: %q", got)
			}
		})
	}
}

func TestFramerGivesUpOnGarbage(t *testing.T) {
	f := newFramer()
	line := strings.Repeat("no sip here ", 100) + "\r\n"
	for n := 0; n <= maxGarbage; n += len(line) {
		if f.hopeless() {
			t.Fatalf("after %d bytes", n)
		}
		feed(f, line)
	}
	if !f.hopeless() {
		t.Error("still hopeful")
	}
	f = newFramer()
	feed(f, line, message("ACK", ""))
	if f.garbage != 0 {
		t.Error("garbage is counted over a message")
	}
}

func TestFramerAbandons(t *testing.T) {
	head := "BYE sip:a SIP/2.0\r\nl: 4\r\n\r\n"
	for _, tt := range []struct {
		name, begun, rest string
		answered          bool
	}{
		{"in the headers", head[:20], head[20:] + "body", true},
		{"in the body", head + "bo", "dy", true},
		{"in a refused body", "BYE sip:a SIP/2.0\r\nl: 5000\r\n\r\nbo", "dy\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFramer()
			feed(f, tt.begun)
			if !f.busy() {
				t.Fatal("not busy")
			}
			u := f.abandon()
			if (u.head != nil) != tt.answered || u.err == nil {
				t.Errorf("unit %q, %v", u.head, u.err)
			}
			if got := feed(f, tt.rest+"\r\n"+message("ACK", "")); fmt.Sprint(got) != "[ACK|]" {
				t.Errorf("then %q", got)
			}
		})
	}
}

// allocated runs f and returns the bytes it allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHugeContentLengthAllocatesNothing(t *testing.T) {
	in := "INVITE sip:a SIP/2.0\r\nContent-Length: 4294967295\r\n\r\nx"
	if n := allocated(func() { feed(newFramer(), in) }); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
	if n := allocated(func() { cutDatagram([]byte(in), 64<<10) }); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
}

// Headers without an end are refused once, at their limit: memory does not grow with
// what somebody sends, and the connection goes on or is given up.
func TestEndlessHeaders(t *testing.T) {
	const sent = 20 << 20
	line := "X-More: " + strings.Repeat("y", 1000) + "\r\n"
	f := newFramer()
	feed(f, "INVITE sip:a SIP/2.0\r\n")
	refused := 0
	var peak uint64
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	for n := 0; n < sent; n += len(line) {
		refused += len(feed(f, line))
		if n%(1<<20) < len(line) {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if refused != 1 {
		t.Errorf("refused %d times", refused)
	}
	if got := feed(f, "\r\n", message("ACK", "")); fmt.Sprint(got) != "[ACK|]" && !f.hopeless() {
		t.Errorf("then %q", got)
	}
	if peak > before+1<<20 {
		t.Errorf("%d KB held", (peak-before)>>10)
	}
}

// FuzzFramer: however a connection's bytes are cut into reads, the messages
// are the same, and memory stays within the limits.
func FuzzFramer(f *testing.F) {
	f.Add([]byte(message("INVITE", "v=0\r\n")+message("ACK", "")), uint8(3))
	f.Add([]byte("\r\n\r\n\r\n"+message("BYE", "")+"GET / HTTP/1.1\r\n\r\n"), uint8(1))
	f.Add([]byte("BYE sip:a SIP/2.0\r\nl: 3000\r\n\r\n"+strings.Repeat("SIP/2.0 x\r\n", 400)), uint8(200))
	f.Add([]byte(strings.Repeat("X", 9000)+" SIP/2.0\r\n"), uint8(100))
	for name := range torture {
		f.Add(tortureFile(f, name), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		if len(data) > 64<<10 {
			return
		}
		whole := newFramer()
		var want []string
		used := allocated(func() { want = feed(whole, string(data)) })
		if limit := uint64(256<<10 + 64*len(data)); used > limit {
			t.Errorf("%d bytes allocated for %d", used, len(data))
		}
		pieces := newFramer()
		var got []string
		for rest := string(data); rest != ""; {
			n := min(len(rest), int(step)+1)
			got = append(got, feed(pieces, rest[:n])...)
			rest = rest[n:]
		}
		// What is refused for its size may differ by how much was read at once.
		if fmt.Sprint(taken(got)) != fmt.Sprint(taken(want)) && len(data) < 4<<10 {
			t.Errorf("whole %q\npieces %q", want, got)
		}
		for _, fr := range []*framer{whole, pieces} {
			if cap(fr.buf) > 4*(fr.maxHead+fr.maxBody)+64<<10 {
				t.Errorf("buffer of %d", cap(fr.buf))
			}
		}
	})
}

func taken(units []string) (list []string) {
	for _, u := range units {
		if !strings.HasPrefix(u, "413") && !strings.HasPrefix(u, "513") {
			list = append(list, u)
		}
	}
	return list
}

// FuzzParse: what parses can be written, and then means the same; a response
// to it can be written; what does not parse is answered or dropped; memory is
// bounded by the input.
func FuzzParse(f *testing.F) {
	for name := range torture {
		f.Add(tortureFile(f, name))
	}
	f.Add([]byte(probe("udp", "x")))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP [::1]:5060;branch=z9hG4bK\r\nf: <sip:a>;tag\r\nt: a:b\r\ni:1\r\nCSeq: 1 A\r\n\r\n"))
	f.Fuzz(fuzzParse)
}
