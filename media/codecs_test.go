package media_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/g722"
	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/media/opus"
)

var realCodecs = []media.AudioCodec{aac.Codec{}, opus.Codec{}, g711.ALaw{}, g711.ULaw{}, g722.Codec{}}

func codecOf(t testing.TB, name media.Codec) media.AudioCodec {
	for _, c := range realCodecs {
		if c.Codec() == name {
			return c
		}
	}
	t.Fatalf("no codec %s", name)
	return nil
}

// sweep is a sound with a sharp autocorrelation below 2 kHz: its value at a
// time in seconds.
func sweep(at float64) float32 {
	return float32(0.4 * math.Sin(2*math.Pi*(300*at+300*at*at)))
}

// encodeSweep makes frames of a codec of the sweep, d long.
func encodeSweep(t testing.TB, name media.Codec, d time.Duration) []*media.Frame {
	e, err := codecOf(t, name).NewEncoder(&media.Track{Codec: name}, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	track := e.Track()
	n, rate := e.FrameSize(), track.ClockRate
	pcm := make([]float32, n*track.Channels)
	var frames []*media.Frame
	for first := 0; first < int(d.Seconds()*float64(rate)); first += n {
		for i := range pcm {
			pcm[i] = sweep(float64(first+i/track.Channels) / float64(rate))
		}
		data, err := e.Encode(nil, pcm)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Duration(first-e.Delay()) * time.Second / time.Duration(rate)
		if at >= 0 && len(data) > 0 {
			frames = append(frames, &media.Frame{Track: track, PTS: at, DTS: at, Data: [][]byte{data}})
		}
	}
	return frames
}

// decodeAt decodes frames and returns one channel, each sample where the
// times say.
func decodeAt(t testing.TB, frames []*media.Frame) (pcm []float32, rate int) {
	d, err := codecOf(t, frames[0].Track.Codec).NewDecoder(frames[0].Track)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rate = d.SampleRate()
	for _, f := range frames {
		got, err := d.Decode(nil, f.Data[0])
		if err != nil {
			t.Fatal(err)
		}
		at := int(math.Round(f.PTS.Seconds() * float64(rate)))
		for len(pcm) < at {
			pcm = append(pcm, 0)
		}
		pcm = pcm[:at]
		for i := 0; i < len(got); i += d.Channels() {
			pcm = append(pcm, got[i])
		}
	}
	return pcm, rate
}

// offset finds by how much pcm is later than the sweep, within 60 ms, from the
// greatest correlation in half a second, and how great that is.
func offset(pcm []float32, rate int) (best time.Duration, most float64) {
	step := rate / 8000
	want := make([]float64, 4000)
	for i := range want {
		want[i] = float64(sweep(1 + float64(i)/8000))
	}
	for shift := -60 * rate / 1000; shift <= 60*rate/1000; shift += step {
		var xy, xx, yy float64
		for i, x := range want {
			y := float64(pcm[rate+shift+i*step])
			xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
		}
		if c := xy / math.Sqrt(xx*yy+1e-9); c > most {
			best, most = time.Duration(shift)*time.Second/time.Duration(rate), c
		}
	}
	return best, most
}

// TestRealCodecs has each codec transcoded to each other one. What comes out
// must sound the same at the same time.
func TestRealCodecs(t *testing.T) {
	all := []media.Codec{media.AAC, media.Opus, media.PCMA, media.G722}
	for _, from := range all {
		frames := encodeSweep(t, from, 2*time.Second)
		if off, same := offset(decodeAt(t, frames)); off.Abs() > ms || same < 0.9 {
			t.Errorf("%s itself: %v late, correlation %.3f", from, off, same)
			continue
		}
		for _, to := range all {
			if to == from {
				continue
			}
			t.Run(fmt.Sprintf("%s-%s", from, to), func(t *testing.T) {
				s := &media.Stream{Codecs: realCodecs, DrainTimeout: time.Minute}
				var sink mediatest.Recorder
				attach(t, s, &sink, media.SinkOptions{NoVideo: true, Audio: []media.Codec{to}, MaxDelay: time.Minute})
				if err := mediatest.Feed(ctx, s, frames); err != nil { // not more than a transcoder's queue holds
					t.Fatal(err)
				}
				_ = s.CloseWrite()
				got := sink.Frames()
				if err := mediatest.Check(got, mediatest.Checks{SameTracks: true}); err != nil {
					t.Error(err)
				}
				r := s.Stats().Renditions[0]
				if r.Concealed+r.Silence+r.Cut > 0 || r.DecodeErrors+r.EncodeErrors+r.Dropped > 0 {
					t.Errorf("%+v", r)
				}
				if off, same := offset(decodeAt(t, got)); off.Abs() > ms || same < 0.9 {
					t.Errorf("%v late, correlation %.3f", off, same)
				}
			})
		}
	}
}
