//go:build peers

package aac

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
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
// bit rates, and compares with our decoder.
func TestPeerDecodesEncoder(t *testing.T) {
	for _, rate := range encoderRates {
		for channels := 1; channels <= 2; channels++ {
			pcm := allSignals(rate, channels, 10)
			for _, bitRate := range []int{16000, 32000, 64000, 128000, 256000} {
				t.Run(fmt.Sprintf("%dHz/%d/%d", rate, channels, bitRate), func(t *testing.T) {
					checkByFFmpeg(t, Codec{PlainNoise: true}, rate, channels, bitRate, pcm)
					checkByFFmpeg(t, Codec{PlainNoise: true, LowDelay: true, Rate: AverageRate}, rate, channels, bitRate, pcm)
				})
			}
		}
	}
}

// allSignals makes some frames of each signal, one after the other.
func allSignals(rate, channels, frames int) (pcm []float32) {
	for _, name := range slices.Sorted(maps.Keys(signals)) {
		pcm = append(pcm, render(name, rate, channels, frames)...)
	}
	return pcm
}

func checkByFFmpeg(t *testing.T, k Codec, rate, channels, bitRate int, pcm []float32) {
	t.Helper()
	e := mustEncoder(t, k, rate, channels, media.EncoderOptions{BitRate: bitRate})
	defer e.Close()
	encoded := encodeAll(t, e, pcm)
	want := ffmpegDecode(t, Config{SampleRate: rate, Channels: channels}, encoded)
	got := decodeAll(t, mustDecoder(t, e.Track()), encoded)
	if len(want) != len(got) {
		t.Errorf("ffmpeg decodes %d samples of %d", len(want), len(got))
	}
	if agreement := signalToNoise(want, got, 0); agreement < 80 {
		t.Errorf("decoders agree within %.1f dB, want 80", agreement)
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
