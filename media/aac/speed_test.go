//go:build peers && bench

package aac

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// TestBenchSpeed prints what encoders and decoders take of a core, in turn, on
// the same speech in a noisy room: the least and the most of some rounds.
// Others are processes that read from a pipe; of ffmpeg, what it takes to read
// the samples only is subtracted from encoding.
func TestBenchSpeed(t *testing.T) {
	const rounds, repeats = 5, 6
	file := filepath.Join(t.TempDir(), "voice.wav")
	if err := exec.Command("espeak-ng", "-v", "en-us+m4", "-w", file, spoken).Run(); err != nil {
		t.Fatalf("apt-get install espeak-ng: %v", err)
	}
	for channels := 1; channels <= 2; channels++ {
		pcm := bytes.Repeat(fromFloats(load(t, file, defaultRate, channels, true)), repeats)
		var list []contestant
		list = append(list, ownContestants(t, pcm, channels)...)
		list = append(list, otherContestants(t, pcm, channels)...)
		times := make([][]time.Duration, len(list))
		for range rounds {
			for i := range list {
				times[i] = append(times[i], list[i].run())
			}
		}
		frames := len(pcm) / 4 / channels / frameSize
		for i, c := range list {
			least, most := slices.Min(times[i])/time.Duration(frames), slices.Max(times[i])/time.Duration(frames)
			share := func(d time.Duration) float64 { return 100 * d.Seconds() * defaultRate / frameSize }
			fmt.Printf("| %s | %d channel(s) | %.1f - %.1f us | %.3f - %.3f %% |\n", c.name, channels,
				float64(least)/1e3, float64(most)/1e3, share(least), share(most))
		}
	}
}

// A contestant does its work and returns the processor time that it took.
type contestant struct {
	name string
	run  func() time.Duration
}

func ownContestants(t *testing.T, raw []byte, channels int) []contestant {
	pcm := toFloats(raw)
	n := frameSize * channels
	e := mustEncoder(t, Codec{}, defaultRate, channels, media.EncoderOptions{BitRate: 64000 * channels})
	frames := encodeAll(t, e, pcm)
	d := mustDecoder(t, e.Track())
	var data []byte
	var out []float32
	return []contestant{
		{"own encoder", func() time.Duration {
			start := cpuTime()
			for i := 0; i+n <= len(pcm); i += n {
				data, _ = e.Encode(data[:0], pcm[i:i+n])
			}
			return cpuTime() - start
		}},
		{"own decoder", func() time.Duration {
			start := cpuTime()
			for _, frame := range frames {
				out, _ = d.Decode(out[:0], frame)
			}
			return cpuTime() - start
		}},
	}
}

func otherContestants(t *testing.T, raw []byte, channels int) (list []contestant) {
	pcm := toFloats(raw)
	format := []string{"ffmpeg", "-v", "error", "-threads", "1", "-f", "f32le", "-ar", fmt.Sprint(defaultRate), "-ac", fmt.Sprint(channels), "-i", "pipe:0"}
	read := append(slices.Clone(format), "-f", "null", "-")
	for _, coder := range []string{"fast", "twoloop"} {
		encode := append(slices.Clone(format), "-c:a", "aac", "-aac_coder", coder, "-b:a", fmt.Sprint(64000*channels), "-f", "null", "-")
		list = append(list, contestant{"ffmpeg " + coder, func() time.Duration {
			return processorTime(t, raw, encode) - processorTime(t, raw, read)
		}})
	}
	for _, o := range otherEncoders {
		line, input := o.command(t, defaultRate, channels, 64000*channels), o.format(pcm)
		list = append(list, contestant{o.name, func() time.Duration { return processorTime(t, input, line) }})
	}
	adts := ffmpegEncode(t, pcm, defaultRate, channels, "-aac_coder", "fast", "-b:a", fmt.Sprint(64000*channels))
	decode := strings.Fields("ffmpeg -v error -threads 1 -f aac -i pipe:0 -f null -")
	return append(list, contestant{"ffmpeg decoder", func() time.Duration { return processorTime(t, adts, decode) }})
}

// processorTime runs a program on an input.
func processorTime(t *testing.T, input []byte, line []string) time.Duration {
	t.Helper()
	cmd := exec.Command(line[0], line[1:]...)
	var messages bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), io.Discard, &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", line, err, messages.String())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
