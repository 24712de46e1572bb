//go:build unix

package rtmp

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// spacedConn is a publisher's connection over TCP, and its other end.
func spacedConn(t testing.TB, spacing, writeTimeout time.Duration) (*conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(near, nil, 1<<20, writeTimeout)
	c.out.size = outChunk
	c.space(spacing)
	if c.direct == nil {
		t.Fatal("a TCP connection is not written directly")
	}
	t.Cleanup(func() { c.close(); far.Close() })
	return c, far
}

func receive(t testing.TB, far net.Conn, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(far, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDirectWrite: an append after the spacing is with the peer when send
// returns; one before it goes with the next, or by itself a little later.
func TestDirectWrite(t *testing.T) {
	const spacing = 150 * time.Millisecond
	c, far := spacedConn(t, spacing, time.Second)
	first, second := bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{2}, 100)
	const message = 100 + 12
	for range 2 {
		time.Sleep(2 * spacing)
		sent := time.Now()
		_ = c.send(4, 9, 1, 0, first)
		if n, _ := c.waits(); n != 0 {
			t.Fatalf("%d bytes wait", n)
		}
		if b := receive(t, far, message); !bytes.HasSuffix(b, first) {
			t.Errorf("got %x", b)
		}
		c.wroteBefore(2 * sameMoment)
		_ = c.send(4, 9, 1, 0, second)
		if n, _ := c.waits(); n != message && time.Since(sent) < spacing {
			t.Errorf("%d bytes wait for more, want %d", n, message)
		}
		began := time.Now()
		if b := receive(t, far, message); !bytes.HasSuffix(b, second) {
			t.Errorf("got %x", b)
		}
		t.Logf("the second came after %v", time.Since(began))
	}
	eventually(t, 10*time.Second, "all counted", func() bool { return c.bytesSent() == 4*message })
}

// TestDirectWriteHandsOver has the kernel take only a part, many times: all
// arrives, in order, and a deadline that the writeLoop set harms no later
// write.
func TestDirectWriteHandsOver(t *testing.T) {
	const writeTimeout = 2 * time.Second
	c, far := spacedConn(t, time.Millisecond, writeTimeout)
	_ = c.nc.(*net.TCPConn).SetWriteBuffer(16 << 10)
	_ = far.(*net.TCPConn).SetReadBuffer(16 << 10)
	payload := make([]byte, 50_000)
	var want chunkWriter
	want.size = outChunk
	sent, got := sha256.New(), sha256.New()
	done := make(chan error)
	const messages = 400
	go func() {
		buf := make([]byte, 100_000)
		for total := 0; total < messages*(len(payload)+12); {
			n, err := far.Read(buf)
			if err != nil {
				done <- err
				return
			}
			got.Write(buf[:n])
			total += n
		}
		done <- nil
	}()
	for i := range messages {
		payload[0] = byte(i)
		if err := c.send(4, 9, 1, uint32(i), payload); err != nil {
			t.Fatal(err)
		}
		want.message(4, 9, 1, uint32(i), payload)
		sent.Write(want.buf)
		want.buf = want.buf[:0]
		for n, _ := c.waits(); n > 1<<20; n, _ = c.waits() {
			time.Sleep(time.Millisecond)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Error("what came is not what was sent")
	}
	time.Sleep(writeTimeout + 100*time.Millisecond)
	_ = c.send(4, 9, 1, 0, payload[:1])
	receive(t, far, 1+12)
}

func TestDirectWriteFails(t *testing.T) {
	c, far := spacedConn(t, time.Millisecond, time.Second)
	_ = far.(*net.TCPConn).SetLinger(0)
	_ = far.Close()
	eventually(t, 10*time.Second, "error of a dead connection", func() bool {
		return c.send(4, 9, 1, 0, []byte("x")) != nil
	})
}

func TestDirectWriteAllocs(t *testing.T) {
	c, far := spacedConn(t, time.Nanosecond, time.Second)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	payload := make([]byte, 1000)
	n := testing.AllocsPerRun(1000, func() { _ = c.send(4, 9, 1, 0, payload) })
	if n >= 1 {
		t.Errorf("%v allocations a message", n)
	}
}

// TestSoundWaitsForPicture: of what a call gives at one moment the picture comes
// last and has all of it written; sound alone does not wait for one.
func TestSoundWaitsForPicture(t *testing.T) {
	sound := &media.Frame{Track: &media.Track{Codec: media.AAC}, DTS: time.Second}
	for name, p := range map[string]*Publisher{
		"no picture yet":     {},
		"no picture lately":  {stats: PublisherStats{VideoFrames: 9}, pictureAt: time.Second / 2},
		"a picture was last": {stats: PublisherStats{VideoFrames: 9}, pictureAt: 960 * time.Millisecond},
	} {
		want := writeSpacing
		if name == "a picture was last" {
			want = soundSpacing
		}
		if got := p.spacing(sound, false); got != want {
			t.Errorf("%s: sound is written after %v, want %v", name, got, want)
		}
		if got := p.spacing(sound, true); got != pictureSpacing {
			t.Errorf("%s: a picture is written after %v", name, got)
		}
	}

	c, far := spacedConn(t, time.Hour, time.Second)
	write := func(spacing time.Duration) (left int) {
		_ = c.begin()
		c.out.message(4, 9, 1, 0, make([]byte, 100))
		c.endAfter(spacing)
		left, _ = c.waits()
		return left
	}
	const message = 100 + 12
	c.wroteBefore(time.Minute)
	if left := write(10 * time.Minute); left != message {
		t.Errorf("%d bytes wait behind the sound", left)
	}
	if left := write(time.Second); left != 0 {
		t.Errorf("%d bytes wait behind the picture", left)
	}
	receive(t, far, 2*message)
	c.mu.Lock()
	c.written = time.Now().Add(time.Second) // the moment is not over, however busy the machine
	c.mu.Unlock()
	if left := write(time.Minute); left != 0 {
		t.Errorf("%d bytes wait that came with those before", left)
	}
	receive(t, far, message)
}

// wroteBefore makes the last write one of so long ago.
func (c *conn) wroteBefore(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = time.Now().Add(-d)
}
