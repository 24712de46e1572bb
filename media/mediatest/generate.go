// Package mediatest helps to test what takes or gives [media.Frame] values:
// generators of video that decodes and of audio, a [Recorder] that is a
// media.Sink, a codec that is easy to look into, and checks that hold for every
// stream.
//
//	Video, Audio --Merge--> frames --Feed--> Sink under test
//	Source under test --ReadAll--> frames --Check--> error
//
// It is for tests only, but imports no testing, so that other programs can use
// it too.
package mediatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// A Generator makes the frames of one track, one after the other.
type Generator interface {
	// Due is the DTS of the next frame.
	Due() time.Duration
	Next() *media.Frame
}

// Video generates H.264 that decodes to a grey picture. The zero value makes
// 320x240 at 25 frames a second with a key frame every 2 s.
type Video struct {
	// Track is that of the frames; it may be changed between two of them,
	// which makes the next one a key frame. Default: H264Track(320, 240).
	Track *media.Track
	// Interval between frames. Default 40 ms.
	Interval time.Duration
	// GOP is the number of frames from one key frame to the next. Default 50;
	// negative: only the first one is.
	GOP int
	// KeySize and Size are the bytes of a frame, reached by filler data. The
	// default is what the picture needs.
	KeySize, Size int
	// At is the time of the next frame.
	At time.Duration

	last  *media.Track
	since int // frames since the last key frame
	asked bool
}

// AskKey makes the next frame a key frame.
func (v *Video) AskKey() { v.asked = true }

// Due returns At.
func (v *Video) Due() time.Duration { return v.At }

// Next returns the next frame.
func (v *Video) Next() *media.Frame {
	if v.Track == nil {
		v.Track = H264Track(320, 240)
	}
	gop := v.GOP
	if gop == 0 {
		gop = 50
	}
	if v.since++; v.last != v.Track || v.asked || gop > 0 && v.since >= gop {
		v.last, v.asked, v.since = v.Track, false, 0
	}
	key := v.since == 0
	f := &media.Frame{Track: v.Track, PTS: v.At, DTS: v.At, Key: key}
	v.At += orElse(v.Interval, 40*time.Millisecond)
	f.Data = [][]byte{pictureOf(v.Track).slice(key, v.since)}
	size := v.Size
	if key {
		size = v.KeySize
	}
	if rest := size - f.Size(); rest > 0 {
		f.Data = append(f.Data, filler(rest))
	}
	return f
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// Audio generates a tone in frames of 16-bit samples, which [PCM] decodes
// whatever codec the track names. The zero value makes 20 ms of mono at 8000
// Hz as PCMU; for tests that do not decode, these are frames of audio as good
// as any.
type Audio struct {
	// Track is that of the frames. Default: PCMU, 8000 Hz, 1 channel.
	Track *media.Track
	// Samples per channel in a frame. Default: 20 ms.
	Samples int
	// Hz and Amplitude of the tone. Defaults 440 and 0.5.
	Hz, Amplitude float64
	// At is the time of the next frame.
	At time.Duration

	last  *media.Track
	from  time.Duration // where the samples are counted from
	count int
	next  time.Duration
}

// Due returns At.
func (a *Audio) Due() time.Duration { return a.At }

// Next returns the next frame. The tone goes on where the last one ended; a
// change of At in between is a change of the time only.
func (a *Audio) Next() *media.Frame {
	if a.Track == nil {
		a.Track = &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	}
	rate, n := a.Track.ClockRate, a.Samples
	if n <= 0 {
		n = rate / 50
	}
	if a.At != a.next || a.last != a.Track {
		a.from, a.count, a.last = a.At, 0, a.Track
	}
	pcm := make([]float32, 0, n*a.Track.Channels)
	for i := range n {
		t := a.At.Seconds() + float64(i)/float64(rate)
		s := float32(orFloat(a.Amplitude, 0.5) * math.Sin(2*math.Pi*orFloat(a.Hz, 440)*t))
		for range a.Track.Channels {
			pcm = append(pcm, s)
		}
	}
	f := &media.Frame{Track: a.Track, PTS: a.At, DTS: a.At, Data: [][]byte{appendPCM(nil, pcm)}}
	a.count += n
	a.At = a.from + time.Duration(a.count)*time.Second/time.Duration(rate)
	a.next = a.At
	return f
}

func orFloat(v, other float64) float64 {
	if v > 0 {
		return v
	}
	return other
}

// Merge returns the frames of all generators before end, in the order of their
// DTS; where they are equal, in that of the generators.
func Merge(end time.Duration, generators ...Generator) []*media.Frame {
	var all []*media.Frame
	for _, g := range generators {
		for g.Due() < end {
			all = append(all, g.Next())
		}
	}
	slices.SortStableFunc(all, func(x, y *media.Frame) int { return int(x.DTS - y.DTS) })
	return all
}

// Feed writes frames to a sink, as fast as it takes them.
func Feed(ctx context.Context, sink media.Sink, frames []*media.Frame) error {
	for i, f := range frames {
		if err := sink.WriteFrame(ctx, f); err != nil {
			return fmt.Errorf("frame %d of %d: %w", i, len(frames), err)
		}
	}
	return nil
}

// Play writes frames to a sink in real time: each when its DTS has passed
// since the first.
func Play(ctx context.Context, sink media.Sink, frames []*media.Frame) error {
	began := time.Now()
	for i, f := range frames {
		if wait := f.DTS - frames[0].DTS - time.Since(began); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			}
		}
		if err := sink.WriteFrame(ctx, f); err != nil {
			return fmt.Errorf("frame %d of %d: %w", i, len(frames), err)
		}
	}
	return nil
}

// ReadAll reads a source to its end.
func ReadAll(ctx context.Context, source media.Source) ([]*media.Frame, error) {
	var all []*media.Frame
	for {
		f, err := source.ReadFrame(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
}
