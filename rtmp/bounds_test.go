package rtmp

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// rawSession is a client's connection to a server of the test, connected to
// app live.
func rawSession(t *testing.T, base, stream string) *session {
	t.Helper()
	target, err := parseTarget(base+"/live", stream, "")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", target.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	r := bufio.NewReader(nc)
	if err := clientHandshake(nc, r); err != nil {
		t.Fatal(err)
	}
	s := &session{conn: newConn(nc, r, 1<<20, 10*time.Second), target: target}
	t.Cleanup(s.close)
	return s
}

// TestAskerWhoDoesNotRead asks for answers and reads none: its connection is
// ended before much waits for it.
func TestAskerWhoDoesNotRead(t *testing.T) {
	s := &Server{WriteTimeout: time.Minute, SetupTimeout: time.Minute}
	base := serve(t, s)
	c := rawSession(t, base, "x")
	ping := chunkWriter{size: outChunk}
	for range 1000 {
		ping.message(csidControl, kindUserControl, 0, 0, []byte{0, eventPingRequest, 0, 0, 0, 1})
	}
	eventually(t, 20*time.Second, "end of the connection", func() bool {
		for range 20 {
			_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := c.nc.Write(ping.buf); err != nil {
				break
			}
		}
		return s.Stats().Conns == 0
	})
}

// TestAnswersAreBounded looks at what waits.
func TestAnswersAreBounded(t *testing.T) {
	near, far := net.Pipe() // takes nothing
	defer far.Close()
	c := newConn(near, nil, 1<<20, time.Minute)
	defer c.close()
	var err error
	for i := 0; err == nil; i++ {
		if i > maxAnswers {
			t.Fatal("no end of answers")
		}
		err = c.event(eventPingResponse, 1)
	}
	if n, _ := c.waits(); n > 2*maxAnswers || !errors.Is(err, ErrProtocol) {
		t.Errorf("%d bytes wait, %v", n, err)
	}
}

// waits is what is appended and not written.
func (c *conn) waits() (int, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backlog()
}

// TestAggregatePartsStandAlone: what keeps one part does not keep the message.
func TestAggregatePartsStandAlone(t *testing.T) {
	tag := func(kind byte, n int) []byte {
		return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, 0}, make([]byte, n+4)...)
	}
	payload := append(tag(kindAudio, 4), tag(99, 1<<20)...)
	parts, err := splitAggregate(message{kind: kindAggregate, payload: payload})
	if err != nil || len(parts) != 1 || len(parts[0].payload) != 4 {
		t.Fatalf("%v, %v", parts, err)
	}
	payload[11] = 0xff
	if parts[0].payload[0] != 0 {
		t.Error("the part is a piece of the message")
	}
}

// TestCloseFromSeveral closes a publisher from several goroutines: it says
// goodbye once, and all return when it has ended.
func TestCloseFromSeveral(t *testing.T) {
	s := &Server{}
	p := &Publisher{URL: serve(t, s) + "/live/x"}
	c := &clip{audio: audioTrack(media.AAC)}
	eventually(t, 10*time.Second, "stream", func() bool {
		_ = p.WriteFrame(t.Context(), c.next()[0])
		return len(s.List()) == 1
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_ = p.Close()
			if st := p.Stats().State; st != Closed {
				t.Errorf("returned in state %s", st)
			}
		})
	}
	wg.Wait()
}

// TestIdleAfterStream: a client that has ended its stream and begins no other
// does not keep its connection.
func TestIdleAfterStream(t *testing.T) {
	s := &Server{SetupTimeout: 500 * time.Millisecond}
	base := serve(t, s)
	publish(t, base+"/live/x")
	eventually(t, 5*time.Second, "stream", func() bool { return len(s.List()) == 1 })
	c := rawSession(t, base, "x")
	if err := c.connectApp("", true); err != nil {
		t.Fatal(err)
	}
	if err := c.play(); err != nil {
		t.Fatal(err)
	}
	if err := c.command(0, "deleteStream", 9, nil, c.stream); err != nil {
		t.Fatal(err)
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c.nc); err != nil {
		t.Errorf("the connection is still there: %v", err)
	}
}

// TestMetadataIsAtZero: a player gets onMetaData with time 0 whenever it joins
// and whenever it changes. ffmpeg shows a track of text for any other.
func TestMetadataIsAtZero(t *testing.T) {
	s := &Server{}
	s.setUp()
	h := &hubStream{name: "a/b", cacheMax: 1 << 20}
	if err := s.hub.publish(h, 10); err != nil {
		t.Fatal(err)
	}
	put := func(kind byte, at uint32, payload []byte) {
		tag, err := newTag(kind, at, payload)
		if err != nil {
			t.Fatal(err)
		}
		h.write(tag)
	}
	meta := func(v string) []byte { return encodeAMF("onMetaData", v) }
	var early, late tagList
	h.join(&early)
	put(kindData, 5000, meta("first"))
	put(kindVideo, 5000, unhex("1701000000 00000001 65"))
	put(kindData, 5100, encodeAMF("onTextData", "a caption"))
	put(kindData, 6000, meta("second"))
	h.join(&late)
	if got, want := early.data(), []dataTag{{0, "first"}, {5100, "a caption"}, {0, "second"}}; !slices.Equal(got, want) {
		t.Errorf("early: %v", got)
	}
	if got, want := late.data(), []dataTag{{0, "second"}}; !slices.Equal(got, want) {
		t.Errorf("late: %v", got)
	}
	_ = s.Close()
}

// tagList is a subscriber that keeps the tags.
type tagList struct{ tags []tag }

func (l *tagList) deliver(t *tag) { l.tags = append(l.tags, *t) }
func (l *tagList) end()           {}

type dataTag struct {
	time uint32
	text string
}

func (l *tagList) data() (list []dataTag) {
	for _, t := range l.tags {
		if t.kind != kindData {
			continue
		}
		vals, err := decodeAMF(t.payload, false)
		if err != nil || len(vals) != 2 {
			continue
		}
		list = append(list, dataTag{t.time, vals[1].(string)})
	}
	return list
}

// TestRefusalsAreLoggedOnce: a client that tries again is one warning.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	s := &Server{}
	a, b := no{host: "h", stream: "live/x", code: "c"}, no{host: "h", stream: "live/y", code: "c"}
	for i, c := range []struct {
		no   no
		want slog.Level
	}{{a, slog.LevelWarn}, {a, slog.LevelDebug}, {b, slog.LevelWarn}, {b, slog.LevelDebug}, {a, slog.LevelWarn}} {
		if got := s.noLevel(c.no); got != c.want {
			t.Errorf("refusal %d: %s", i, got)
		}
	}
	s.lastNo.at = time.Now().Add(-time.Minute)
	if got := s.noLevel(a); got != slog.LevelWarn {
		t.Errorf("a minute later: %s", got)
	}
}
