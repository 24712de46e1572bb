package inject

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// burst is a live source that gives its first second at once.
type burst struct {
	begun time.Time
	n     int
}

var (
	burstVideo = &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate}
	burstAudio = &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}
)

func (b *burst) Tracks() []*media.Track { return []*media.Track{burstVideo, burstAudio} }
func (b *burst) Close() error           { return nil }

func (b *burst) ReadFrame(context.Context) (*media.Frame, error) {
	if b.n == 0 {
		b.begun = time.Now()
	}
	const frames = 3 * 50 // 3 s of pictures and sound in turn, 20 ms apart
	if b.n == frames {
		return nil, io.EOF
	}
	at := time.Duration(b.n) * 20 * time.Millisecond
	if due := b.begun.Add(at - time.Second); at > time.Second {
		time.Sleep(time.Until(due))
	}
	f := &media.Frame{Track: burstVideo, PTS: at, DTS: at, Key: b.n%50 == 0, Data: [][]byte{{1}}}
	if b.n%2 == 1 {
		f.Track = burstAudio
	}
	b.n++
	return f, nil
}

// TestBurst leaves away the old sound of a live stream, and none of its
// pictures.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pictures, early, sounds int
		begun := time.Now()
		i := &Injector{Source: &burst{}, Live: true, Sink: media.SinkFunc(func(_ context.Context, f *media.Frame) error {
			switch {
			case f.Track == burstVideo:
				pictures++
			case time.Since(begun) < 5*time.Millisecond:
				early++
			default:
				sounds++
			}
			return nil
		})}
		if err := i.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-i.Done()
		if pictures != 75 || early != 0 || sounds < 45 {
			t.Errorf("%d pictures, %d old sounds and %d others", pictures, early, sounds)
		}
	})
}
