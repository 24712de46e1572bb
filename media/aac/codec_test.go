package aac

import (
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// encodeAll encodes pcm and returns the frames.
func encodeAll(t testing.TB, e media.AudioEncoder, pcm []float32) [][]byte {
	t.Helper()
	var frames [][]byte
	n := e.FrameSize() * e.Track().Channels
	for ; len(pcm) >= n; pcm = pcm[n:] {
		frame, err := e.Encode(nil, pcm[:n])
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

func decodeAll(t testing.TB, d media.AudioDecoder, frames [][]byte) []float32 {
	t.Helper()
	var pcm []float32
	for i, frame := range frames {
		var err error
		if pcm, err = d.Decode(pcm, frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	return pcm
}

func mustEncoder(t testing.TB, k Codec, rate, channels int, o media.EncoderOptions) media.AudioEncoder {
	t.Helper()
	e, err := k.NewEncoder(&media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustDecoder(t testing.TB, track *media.Track) media.AudioDecoder {
	t.Helper()
	d, err := Codec{}.NewDecoder(track)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, rate := range encoderRates {
		for channels := 1; channels <= 2; channels++ {
			for name, least := range map[string]float64{"tone": 35, "speech": 18, "music": 15, "dtmf": 20} {
				pcm := render(name, rate, channels, 24)
				e := mustEncoder(t, Codec{}, rate, channels, media.EncoderOptions{})
				got := decodeAll(t, mustDecoder(t, e.Track()), encodeAll(t, e, pcm))
				snr := signalToNoise(pcm, got, e.Delay()*channels)
				t.Logf("%s %d Hz %d channel(s): %.1f dB", name, rate, channels, snr)
				if snr < least {
					t.Errorf("%s at %d Hz, %d channel(s): %.1f dB, want %.0f", name, rate, channels, snr, least)
				}
			}
		}
	}
}
