//go:build peers

package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

const (
	frameRate   = 50
	frameTime   = time.Second / frameRate
	roundLength = 5 * time.Second // of the clip that goes round, and of the pattern
	roundFrames = int(roundLength / frameTime)
	keyInterval = 50 // frames between two key frames that nobody asked for
	keyStep     = 10 // frames until one that was asked for, at most, of a film with all takes
	allTakes    = keyInterval / keyStep
)

// film is a flash and a beep each second at 50 fps, encoded several times:
// take k has its key frames at frame k*keyStep of each keyInterval. Who asks
// for one is given the take that has the next, as if a live encoder had made
// it.
type film struct {
	takes [][]*media.Frame
	sound []*media.Frame
}

// theFilm is made once.
var theFilm struct {
	sync.Mutex
	*film
}

// testFilm is 640x360 with all takes.
func testFilm(t testing.TB) *film {
	t.Helper()
	theFilm.Lock()
	defer theFilm.Unlock()
	if theFilm.film == nil {
		theFilm.film = makeFilm(t, 640, 360, 800_000, allTakes)
	}
	return theFilm.film
}

// makeFilm makes a film of a size in pixels, with as many takes.
func makeFilm(t testing.TB, width, height, bitRate, takes int) *film {
	t.Helper()
	clip := peertest.MakeClip(t, peertest.ClipOptions{
		Seconds: int(roundLength / time.Second), FrameRate: frameRate,
	})
	dir := t.TempDir()
	args := []string{"-v", "error", "-nostdin", "-y", "-i", clip.Video, "-i", clip.Audio}
	var files []string
	for k := range takes {
		file := filepath.Join(dir, fmt.Sprintf("take%d.mp4", k))
		files = append(files, file)
		rate := fmt.Sprint(bitRate)
		args = append(args, "-map", "0:v", "-map", "1:a",
			"-vf", fmt.Sprintf("scale=%d:%d:flags=neighbor", width, height), "-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast",
			"-tune", "zerolatency", "-g", "9999", "-sc_threshold", "0",
			"-force_key_frames", fmt.Sprintf("expr:eq(mod(n,%d),%d)", keyInterval, k*keyStep),
			"-b:v", rate, "-maxrate", rate, "-bufsize", fmt.Sprint(bitRate/4),
			"-c:a", "libopus", "-b:a", "24k", "-application", "voip", "-fec", "1", "-packet_loss", "10", file)
	}
	if _, errs, err := peertest.Run(t, 3*time.Minute, "ffmpeg", args...); err != nil {
		t.Fatalf("film: %v\n%s", err, errs)
	}
	f := &film{}
	for _, file := range files {
		pictures, sound := readFrames(t, file)
		if len(pictures) != roundFrames || len(sound) < roundFrames {
			t.Fatalf("film of %d pictures and %d pieces of sound", len(pictures), len(sound))
		}
		f.takes, f.sound = append(f.takes, pictures), sound[:roundFrames]
	}
	return f
}

func readFrames(t testing.TB, file string) (pictures, sound []*media.Frame) {
	t.Helper()
	r, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	src, err := inject.Open(t.Context(), r, info.Size(), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for {
		f, err := src.ReadFrame(t.Context())
		if errors.Is(err, io.EOF) {
			return pictures, sound
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Track.Codec.Video() {
			pictures = append(pictures, f)
		} else {
			sound = append(sound, f)
		}
	}
}

// camera plays films in real time, one after the other.
type camera struct {
	film   atomic.Pointer[film]
	asked  atomic.Bool  // for a key frame
	served atomic.Int64 // key frames given because they were asked for
}

// run writes frames to the sink until ctx ends.
func (c *camera) run(ctx context.Context, sink media.Sink) error {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	take, shown := 0, (*film)(nil)
	for n := 0; ; n++ {
		timer.Reset(time.Until(start.Add(time.Duration(n) * frameTime)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if k := n % keyInterval / keyStep; n%keyStep == 0 && k < len(c.film.Load().takes) {
			next := c.film.Load()
			if asked := c.asked.Swap(false); asked || next != shown {
				if asked {
					c.served.Add(1)
				}
				take, shown = k, next
			}
		}
		round := time.Duration(n/roundFrames) * roundLength
		for _, f := range []*media.Frame{shown.sound[n%roundFrames], shown.takes[take][n%roundFrames]} {
			copied := *f
			copied.PTS += round
			copied.DTS += round
			if err := sink.WriteFrame(ctx, &copied); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
