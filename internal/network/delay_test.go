//go:build peers

package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/trunk"
)

const (
	// addedDelay is what the gateway may add to the jitter buffer.
	addedDelay = 30 * time.Millisecond
	// aacFrame is 1024 samples at 48 kHz.
	aacFrame = 1024 * time.Second / 48000
)

// stamped is what is sent, piece by piece: picture and sound of a number have
// the same time.
type stamped struct {
	film *film

	mu   sync.Mutex
	sent [2][]time.Time     // when the last packet of a number had left: sound, picture
	last map[string]int     // number of the picture that ends so
	came [2][]time.Duration // delays
	at   int                // number of the picture that came last
	dts  time.Duration      // of its message
}

const (
	theSound = iota
	thePicture
)

// run sends 50 pictures and pieces of sound a second, each piece with its
// number in it.
func (s *stamped) run(ctx context.Context, sink media.Sink) error {
	track := &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		sound := make([]byte, 160)
		binary.BigEndian.PutUint32(sound, uint32(n))
		picture := *s.film.takes[0][n%roundFrames]
		picture.PTS = time.Duration(n) * frameTime
		picture.DTS = picture.PTS
		for i, f := range []*media.Frame{{Track: track, PTS: picture.PTS, DTS: picture.PTS, Data: [][]byte{sound}}, &picture} {
			if err := sink.WriteFrame(ctx, f); err != nil && ctx.Err() == nil {
				return err
			}
			s.left(i, n, f)
		}
		timer.Reset(time.Until(start.Add(time.Duration(n+1) * frameTime)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *stamped) left(kind, n int, f *media.Frame) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[kind] = append(s.sent[kind], now)
	if kind == thePicture {
		s.last[string(f.Data[len(f.Data)-1])] = n
	}
}

// note takes a message that is complete and needed number n to be sent.
func (s *stamped) note(kind, n int) {
	if n >= 0 && n < len(s.sent[kind]) {
		s.came[kind] = append(s.came[kind], time.Since(s.sent[kind][n]))
	}
}

func (s *stamped) picture(dts time.Duration, last []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.last[string(last)]; ok {
		s.at, s.dts = n, dts
		s.note(thePicture, n)
	}
}

// sound takes a message of the sound as it was sent.
func (s *stamped) sound(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(theSound, int(binary.BigEndian.Uint32(data)))
}

// encoded takes a message of the sound as AAC: the pictures tell what of the
// sound it was made of.
func (s *stamped) encoded(pts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dts > 0 {
		s.note(theSound, s.at+int((pts+aacFrame-s.dts-1)/frameTime))
	}
}

// server stamps what comes.
func (s *stamped) server() *server {
	return &server{picture: func(dts time.Duration, units [][]byte) { s.picture(dts, units[len(units)-1]) },
		sound: s.sound, encoded: s.encoded}
}

// blankFilm is a film of which nothing but the packets matter: 2000 bytes a
// picture, no two alike.
func blankFilm() *film {
	track := &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate, Config: [][]byte{
		{0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0c, 0x83, 0xc5, 0x0a, 0xa8}, // 320x240
		{0x68, 0xce, 0x0f, 0xc8}}}
	f := &film{takes: make([][]*media.Frame, 1)}
	for n := range roundFrames {
		key := n%keyInterval == 0
		slice := []byte{0x41, 0x9a}
		if key {
			slice = []byte{0x65, 0x88, 0x84}
		}
		slice = append(slice, bytes.Repeat([]byte{0x55}, 2000)...)
		slice = append(slice, 0x80|byte(n>>7), 0x80|byte(n))
		f.takes[0] = append(f.takes[0], &media.Frame{Track: track, Key: key, Data: [][]byte{slice}})
	}
	return f
}

// encoderDelay is what an AAC encoder needs to have heard beyond the sound that
// it puts into a frame.
func encoderDelay(t *testing.T) time.Duration {
	t.Helper()
	e, err := aac.Codec{}.NewEncoder(&media.Track{Codec: media.AAC}, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return time.Duration(e.Delay()) * time.Second / time.Duration(e.Track().ClockRate)
}

// TestPeerAddedDelay measures what is between the last packet of a piece of
// sound or picture and its message at an RTMP server: the jitter buffer, and
// less than addedDelay in the mean. An encoder holds back the sound, and a
// picture waits for the frame of sound that it belongs to. On a busy machine
// all is late: one of some tries tells what it is without.
func TestPeerAddedDelay(t *testing.T) {
	f := blankFilm()
	for _, audio := range []string{"copy", "aac"} {
		t.Run(audio, func(t *testing.T) {
			for try := 1; ; try++ {
				late := addedDelays(t, f, audio)
				switch {
				case late == "":
					return
				case try == 3:
					t.Fatal(late)
				}
				t.Log(late, "; once more")
			}
		})
	}
}

// addedDelays measures a call, and tells what is late.
func addedDelays(t *testing.T, f *film, audio string) (late string) {
	s := &stamped{film: f, last: map[string]int{}}
	g := startGateway(t, s.server().listen(t), func(c *trunk.Config) { c.Audio, c.JitterMin = audio, 0 })
	c := connect(t, g.addr(), "100")
	c.send(func(ctx context.Context) error { return s.run(ctx, c.media) })
	peertest.Eventually(t, 30*time.Second, "the begin at the server", func() bool { return s.count() > 100 })
	s.forget()
	var targets []time.Duration
	for range 40 {
		time.Sleep(100 * time.Millisecond)
		targets = append(targets, g.session("100").Stats().Quality().Delay)
	}
	c.hangup()
	target := percentile(targets, 50)
	for kind, name := range []string{"sound", "picture"} {
		list := s.taken(kind)
		if len(list) < 150 {
			t.Fatalf("%d messages of the %s", len(list), name)
		}
		t.Logf("measured: %s, %s, %d messages: p5 %v, p50 %v, p95 %v, p99 %v, worst %v after the last packet; jitter buffer %v", audio,
			name, len(list), percentile(list, 5), percentile(list, 50), percentile(list, 95), percentile(list, 99), slices.Max(list), target)
		limit := target + addedDelay
		if audio == "aac" {
			limit += encoderDelay(t) + time.Duration(kind)*aacFrame
		}
		if d := percentile(list, 50); d > limit {
			late += fmt.Sprintf(" the %s comes %v after its last packet, more than %v,", name, d, limit)
		}
	}
	return late
}

// count is how many messages there were of that which is the rarer.
func (s *stamped) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(len(s.came[theSound]), len(s.came[thePicture]))
}

// taken are the delays of a kind.
func (s *stamped) taken(kind int) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.came[kind])
}

func (s *stamped) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came = [2][]time.Duration{}
}
