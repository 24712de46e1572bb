//go:build peers

package aac

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// ffmpeg runs ffmpeg from pipe to pipe. A message of a warning or worse fails
// the test.
func ffmpeg(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out, messages bytes.Buffer
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-v", "warning"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &messages
	if err := cmd.Run(); err != nil || messages.Len() > 0 {
		t.Fatalf("ffmpeg %v: %v\n%.2000s", args, err, messages.String())
	}
	return out.Bytes()
}

// ffmpegDecode decodes frames of a stream by ffmpeg.
func ffmpegDecode(t *testing.T, c Config, frames [][]byte) []float32 {
	t.Helper()
	var file []byte
	for _, frame := range frames {
		var err error
		if file, err = c.AppendADTS(file, frame); err != nil {
			t.Fatal(err)
		}
	}
	return toFloats(ffmpeg(t, file, "-f", "aac", "-i", "pipe:0", "-f", "f32le", "pipe:1"))
}

func toFloats(b []byte) []float32 {
	pcm := make([]float32, len(b)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return pcm
}

func fromFloats(pcm []float32) []byte {
	b := make([]byte, 0, 4*len(pcm))
	for _, v := range pcm {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// TestPeerDecodesEncoder lets ffmpeg decode streams of all rates, channels and
// bit rates, and compares with our decoder. The streams of a rate follow each
// other in one, as starting ffmpeg takes longer than they do.
func TestPeerDecodesEncoder(t *testing.T) {
	for _, rate := range encoderRates {
		for channels := 1; channels <= 2; channels++ {
			t.Run(fmt.Sprintf("%dHz/%d", rate, channels), func(t *testing.T) {
				t.Parallel()
				checkByFFmpeg(t, rate, channels)
			})
		}
	}
}

func checkByFFmpeg(t *testing.T, rate, channels int) {
	t.Helper()
	pcm := allSignals(rate, channels, 10)
	c := Config{SampleRate: rate, Channels: channels}
	var encoded [][]byte
	var names []string
	for _, bitRate := range []int{16000, 32000, 64000, 128000, 256000} {
		for _, k := range []Codec{{PlainNoise: true}, {PlainNoise: true, LowDelay: true, Rate: AverageRate}} {
			e := mustEncoder(t, k, rate, channels, media.EncoderOptions{BitRate: bitRate})
			encoded = append(encoded, encodeAll(t, e, pcm)...)
			names = append(names, fmt.Sprintf("%d bit/s, %+v", bitRate, k))
			e.Close()
		}
	}
	want := ffmpegDecode(t, c, encoded)
	got := decodeAll(t, mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels}), encoded)
	if len(want) != len(got) {
		t.Fatalf("ffmpeg decodes %d samples of %d", len(want), len(got))
	}
	for i, name := range names {
		from, to := i*len(pcm), (i+1)*len(pcm)
		if agreement := signalToNoise(want[from:to], got[from:to], 0); agreement < 80 {
			t.Errorf("%s: decoders agree within %.1f dB, want 80", name, agreement)
		}
	}
}

// TestPeerHostileInput lets ffmpeg decode what was made of hostile input.
func TestPeerHostileInput(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for run := range 24 {
		rate, channels := encoderRates[r.IntN(len(encoderRates))], 1+run%2
		k := Codec{Rate: RateControl(r.IntN(2)), LowDelay: r.IntN(3) == 0}
		e := mustEncoder(t, k, rate, channels, media.EncoderOptions{BitRate: 8000 << r.IntN(6), Bandwidth: r.IntN(3) * 4000})
		pcm := make([]float32, frameSize*channels)
		var frames [][]byte
		for range 60 {
			hostile(r, pcm)
			frames = append(frames, encodeAll(t, e, pcm)...)
		}
		ffmpegDecode(t, Config{SampleRate: rate, Channels: channels}, frames)
		decodeAll(t, mustDecoder(t, e.Track()), frames)
		e.Close()
	}
}
