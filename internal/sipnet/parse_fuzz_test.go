package sipnet

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

var fuzzSource = netip.MustParseAddrPort("192.0.2.9:5060")

func fuzzParse(t *testing.T, data []byte) {
	if len(data) > 64<<10 {
		return
	}
	var msg sip.Message
	used := allocated(func() {
		u := cutDatagram(data, 64<<10)
		if u.err == nil {
			msg, u.err = parse(u.head, u.body)
		}
		if u.err != nil {
			checkRejection(t, u.head, u.err)
		}
	})
	if limit := uint64(256<<10 + 400*len(data)); used > limit {
		t.Errorf("%d bytes allocated for %d", used, len(data))
	}
	if msg == nil {
		return
	}
	first := written(t, msg)
	u := cutDatagram([]byte(first), 1<<20)
	if u.err != nil {
		t.Fatalf("%v\n%q", u.err, first)
	}
	again, err := parse(u.head, u.body)
	if err != nil {
		t.Fatalf("written it does not parse: %v\n%q", err, first)
	}
	if second := written(t, again); second != first {
		t.Errorf("written\n%q\nthen\n%q", first, second)
	}
	if c := written(t, cloneMessage(msg)); c != first {
		t.Errorf("the clone is\n%q, not\n%q", c, first)
	}
	if req, ok := msg.(*sip.Request); ok {
		markVia(req.Via(), fuzzSource)
		replyAddr(req.Via(), fuzzSource, "udp")
		serverKey(req, sip.INVITE)
		mergeKey(req)
		written(t, newResponse(req, "tag", 200, "", nil))
	}
}

func written(t *testing.T, msg sip.Message) string {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, msg); err != nil {
		t.Fatalf("%v\n%q", err, msg.String())
	}
	return b.String()
}

// checkRejection sees that the answer to a broken request is a response, no
// larger than what is copied, with no header of the sender's choice.
func checkRejection(t *testing.T, head []byte, err error) {
	fault, ok := err.(*malformed)
	if !ok {
		t.Fatalf("error %T", err)
	}
	tag := func(string, string, string) string { return "tag" }
	data, _ := rejection(head, fuzzSource, tag, fault.code, fault.reason)
	if data == nil {
		return
	}
	if len(data) > maxRejectHead+1024 || headEnd(data, 0) != len(data) {
		t.Errorf("rejection of %d bytes: %q", len(data), data)
	}
	fields(string(data), func(f field) bool {
		if !strings.Contains(" via to from call-id cseq content-length ", " "+f.name+" ") {
			t.Errorf("field %q in a rejection: %q", f.name, data)
		}
		return true
	})
}

// FuzzDatagram: whatever comes as one datagram, nothing panics, one datagram
// is answered by two at most, and what is kept is one transaction.
func FuzzDatagram(f *testing.F) {
	for name := range torture {
		f.Add(tortureFile(f, name))
	}
	f.Add([]byte(probe("udp", "x")))
	f.Add([]byte(ask("CANCEL", "z9hG4bK1", "a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxDatagram {
			return
		}
		var log syncBuffer
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{
			Logger:     slog.New(slog.NewTextHandler(&log, nil)),
			OnRequest:  answer(200),
			OnResponse: func(*sip.Response) {},
			Listener:   listener.Chain{listener.AddPort{}, listener.Log{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Full: true}},
		})
		e.datagram(data, fuzzSource, netip.Addr{})
		e.Close()
		s := e.Stats()
		if s.Sent > 2 || s.ServerTransactions != 0 || strings.Contains(log.String(), "panicked") {
			t.Errorf("%+v\n%s", s, log.String())
		}
	})
}
