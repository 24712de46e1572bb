package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"
)

func reader(b []byte, limit int) *chunkReader {
	return newChunkReader(bufio.NewReader(bytes.NewReader(b)), limit)
}

func TestChunkRoundTrip(t *testing.T) {
	for _, size := range []int{1, 128, 4096, 65536} {
		for _, at := range []uint32{0, 1, 0xfffffe, 0xffffff, 0x1000000, 0xfffffffe} {
			for _, n := range []int{0, 1, 127, 128, 129, 70000} {
				payload := make([]byte, n)
				for i := range payload {
					payload[i] = byte(rand.Uint32())
				}
				w := chunkWriter{size: size}
				w.message(csidVideo, kindVideo, 7, at, payload)
				w.message(csidAudio, kindAudio, 7, at+1, payload[:n/2])
				r := reader(w.buf, 1<<20)
				r.size = size
				name := fmt.Sprintf("chunks of %d, time %#x, %d bytes", size, at, n)
				m, err := r.read()
				if err != nil || m.kind != kindVideo || m.stream != 7 || m.time != at || !bytes.Equal(m.payload, payload) {
					t.Fatalf("%s: got kind %d stream %d time %#x, %d bytes, %v", name, m.kind, m.stream, m.time, len(m.payload), err)
				}
				m, err = r.read()
				if err != nil || m.kind != kindAudio || m.time != at+1 || !bytes.Equal(m.payload, payload[:n/2]) {
					t.Fatalf("%s: second message: %+v, %v", name, m.kind, err)
				}
				if _, err = r.read(); err != io.EOF {
					t.Fatalf("%s: end: %v", name, err)
				}
				if r.held != 0 {
					t.Fatalf("%s: %d bytes still held", name, r.held)
				}
			}
		}
	}
}

// TestChunkGolden: the bytes on the wire, the extended timestamp repeated in
// chunks of type 3.
func TestChunkGolden(t *testing.T) {
	w := chunkWriter{size: 4}
	w.message(csidAudio, kindAudio, 1, 0x01020304, []byte("abcdef"))
	w.message(csidVideo, kindVideo, 1, 40, []byte("abcdefghi"))
	want := unhex("04 ffffff 000006 08 01000000 01020304 61626364 c4 01020304 6566" +
		"06 000028 000009 09 01000000 61626364 c6 65666768 c6 69")
	if !bytes.Equal(w.buf, want) {
		t.Errorf("got  %x\nwant %x", w.buf, want)
	}
}

// TestChunkForms reads what other senders write (RTMP 1.0, section 5.3.1).
func TestChunkForms(t *testing.T) {
	type got struct {
		kind byte
		time uint32
		data string
	}
	tests := []struct {
		name string
		in   string
		want []got
	}{
		{"types 0, 1, 2, 3", "04 0003e8 000002 08 01000000 6161" + // 1000 ms
			"44 000014 000001 08 62" + "84 000015 63" + "c4 64",
			[]got{{8, 1000, "aa"}, {8, 1020, "b"}, {8, 1041, "c"}, {8, 1062, "d"}}},
		{"type 3 after type 0 repeats its timestamp", "04 000017 000001 08 01000000 61 c4 62",
			[]got{{8, 23, "a"}, {8, 46, "b"}}},
		{"basic header of two bytes", "00 05 000001 000001 09 00000000 61", []got{{9, 1, "a"}}},
		{"basic header of three bytes", "01 05 01 000001 000001 09 00000000 61", []got{{9, 1, "a"}}},
		{"extended timestamp not repeated", "04 ffffff 000082 08 01000000 01000000" + x(128) + "c4 7878",
			[]got{{8, 0x1000000, string(bytes.Repeat([]byte("x"), 130))}}},
		{"extended timestamp repeated", "04 ffffff 000082 08 01000000 01000000" + x(128) + "c4 01000000 7878",
			[]got{{8, 0x1000000, string(bytes.Repeat([]byte("x"), 130))}}},
		{"extended delta", "04 000001 000001 08 01000000 61 84 ffffff 01000000 62", []got{{8, 1, "a"}, {8, 0x1000001, "b"}}},
		{"two streams interleaved", "04 000001 000082 08 01000000" + x(128) + "06 000002 000001 09 01000000 61 c4 7878",
			[]got{{9, 2, "a"}, {8, 1, string(bytes.Repeat([]byte("x"), 130))}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := reader(unhex(tt.in), 1<<20)
			for i, want := range tt.want {
				m, err := r.read()
				if err != nil {
					t.Fatal(err)
				}
				if g := (got{m.kind, m.time, string(m.payload)}); g != want {
					t.Errorf("message %d: %+v, want %+v", i, g, want)
				}
			}
			if _, err := r.read(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func x(n int) string { return fmt.Sprintf("%x", bytes.Repeat([]byte("x"), n)) }

func TestChunkErrors(t *testing.T) {
	many := ""
	for i := range maxChunkStreams + 1 {
		many += fmt.Sprintf("00 %02x 000001 000001 09 00000000 61", i)
	}
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"type 1 first", "44 000014 000001 08 62", ErrProtocol},
		{"type 3 first", "c4 62", ErrProtocol},
		{"message inside a message", "04 000001 000082 08 01000000" + x(128) + "04 000001 000082 08 01000000", ErrProtocol},
		{"message too long", "04 000001 200000 08 01000000", ErrProtocol},
		{"unfinished messages too long", "04 000001 0fffff 08 01000000" + x(128) + "05 000001 0fffff 08 01000000" + x(128) +
			"06 000001 0fffff 08 01000000" + x(128), ErrProtocol},
		{"too many chunk streams", many, ErrProtocol},
		{"cut in the header", "04 0000", io.ErrUnexpectedEOF},
		{"cut in the payload", "04 000001 000002 08 01000000 61", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := 1 << 20
			if tt.name == "unfinished messages too long" {
				limit = 300
				tt.in = "04 000001 00012c 08 01000000" + x(128) + "05 000001 00012c 08 01000000" + x(128) +
					"06 000001 00012c 08 01000000" + x(128)
			}
			r := reader(unhex(tt.in), limit)
			var err error
			for err == nil {
				_, err = r.read()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// allocated returns the bytes that fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestChunkClaims: a message that claims 16 MB costs what arrives of it.
func TestChunkClaims(t *testing.T) {
	in := unhex("02 000000 000004 01 00000000 7fffffff 04 000001 ffffff 08 01000000" + x(1000))
	n := allocated(func() {
		r := reader(in, 32<<20)
		r.size = 1 << 30
		_, _ = r.read()
		_, _ = r.read()
	})
	if n > 200<<10 {
		t.Errorf("%d bytes allocated for %d", n, len(in))
	}
}

func FuzzChunkReader(f *testing.F) {
	w := chunkWriter{size: 128}
	w.message(csidVideo, kindVideo, 1, 0x1000000, make([]byte, 300))
	w.message(csidAudio, kindAudio, 1, 5, []byte{1, 2, 3})
	f.Add(w.buf)
	f.Add(unhex("04 000001 000082 08 01000000" + x(128) + "c4 7878"))
	f.Add(unhex("02 000000 000004 01 00000000 00010000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		sum := 0
		n := allocated(func() {
			c := &conn{in: reader(b, limit), window: ackWindow, wake: make(chan struct{}, 1)}
			c.out.size = defaultChunk
			for {
				m, err := c.read()
				if err != nil {
					return
				}
				sum += len(m.payload)
			}
		})
		if sum > 2*len(b)+64 {
			t.Errorf("%d bytes of payload from %d", sum, len(b))
		}
		// The first block of 64 KiB on each of the chunk streams, answers, maps.
		if most := uint64(64*maxChunkStreams<<10 + 1<<20 + 64*len(b)); n > most {
			t.Errorf("%d bytes allocated for %d, want at most %d", n, len(b), most)
		}
	})
}

func TestAggregate(t *testing.T) {
	tag := func(kind byte, at uint32, data string) []byte {
		b := []byte{kind, 0, 0, byte(len(data)), byte(at >> 16), byte(at >> 8), byte(at), byte(at >> 24), 0, 0, 0}
		b = append(b, data...)
		return binary.BigEndian.AppendUint32(b, uint32(11+len(data)))
	}
	m := message{kind: kindAggregate, stream: 1, time: 500, payload: append(tag(8, 100, "aa"), tag(9, 120, "b")...)}
	parts, err := splitAggregate(m)
	if err != nil || len(parts) != 2 || parts[0].time != 500 || parts[1].time != 520 || string(parts[1].payload) != "b" {
		t.Errorf("got %+v, %v", parts, err)
	}
	m.payload = m.payload[:15]
	if _, err := splitAggregate(m); err != nil {
		t.Errorf("without the last tag's trailer: %v", err)
	}
	m.payload = m.payload[:12]
	if _, err := splitAggregate(m); !errors.Is(err, ErrProtocol) {
		t.Errorf("cut short: %v", err)
	}
}

// TestConnControl: pings are answered, the window is acknowledged, the chunk
// size followed, an aborted message forgotten.
func TestConnControl(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newConn(ours, bufio.NewReader(ours), 1<<20, time.Second)
	defer c.close()
	peer := newConn(theirs, bufio.NewReader(theirs), 1<<20, time.Second)
	defer peer.close()
	got := make(chan message, 16)
	go func() {
		for {
			m, err := peer.in.read()
			if err != nil {
				close(got)
				return
			}
			got <- m
		}
	}()
	_ = peer.control(kindWindowAckSize, 5000)
	_ = peer.event(eventPingRequest, 0x01020304)
	_ = peer.setChunk()
	if err := peer.begin(); err != nil {
		t.Fatal(err)
	}
	peer.out.begin(10, kindAudio, 1, 0, 100000) // and its rest never comes
	peer.out.bytes(make([]byte, outChunk))
	peer.end()
	_ = peer.control(kindAbort, 10)
	_ = peer.send(10, kindVideo, 1, 40, []byte("picture"))
	m, err := c.read()
	if err != nil || m.kind != kindVideo || string(m.payload) != "picture" {
		t.Fatalf("got %+v, %v", m, err)
	}
	if c.in.held != 0 {
		t.Errorf("%d bytes held after the abort", c.in.held)
	}
	if m := <-got; m.kind != kindUserControl || !bytes.Equal(m.payload, []byte{0, 7, 1, 2, 3, 4}) {
		t.Errorf("answer to the ping: %+v", m)
	}
	if m := <-got; m.kind != kindAck || binary.BigEndian.Uint32(m.payload) < outChunk {
		t.Errorf("acknowledgement: %+v", m)
	}
	// The next comes after half a window, not before.
	_ = peer.send(csidAudio, kindAudio, 1, 60, make([]byte, 2000))
	_ = peer.event(eventPingRequest, 0)
	_ = peer.send(csidAudio, kindAudio, 1, 60, make([]byte, 2000))
	for range 2 {
		if _, err := c.read(); err != nil {
			t.Fatal(err)
		}
	}
	if m := <-got; m.kind != kindUserControl {
		t.Errorf("after 2000 bytes: %+v", m)
	}
	if m := <-got; m.kind != kindAck {
		t.Errorf("after 4000 bytes: %+v", m)
	}
}

// TestConnWriteTimeout: a peer that does not read ends the connection.
func TestConnWriteTimeout(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	c := newConn(ours, bufio.NewReader(ours), 1<<20, 20*time.Millisecond)
	defer c.close()
	_ = c.control(kindAck, 1)
	if _, err := c.read(); err == nil {
		t.Fatal("read from a dead connection")
	}
	if err := c.control(kindAck, 1); err == nil {
		t.Error("write after the time-out")
	}
	c.flush(time.Second)
}

func BenchmarkChunkWriter(b *testing.B) {
	w := chunkWriter{size: outChunk}
	payload := make([]byte, 4000)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		w.buf = w.buf[:0]
		w.message(csidVideo, kindVideo, 1, 40, payload)
	}
}
