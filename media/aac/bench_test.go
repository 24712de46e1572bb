//go:build unix

package aac

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// BenchmarkEncode and BenchmarkDecode give the time for a frame, and what
// share of a core a live stream takes.
func BenchmarkEncode(b *testing.B) {
	for channels := 1; channels <= 2; channels++ {
		for _, name := range []string{"speech", "music", "noise", "silence"} {
			b.Run(fmt.Sprintf("%s/%d", name, channels), func(b *testing.B) {
				const frames = 64
				pcm := render(name, defaultRate, channels, frames)
				e := mustEncoder(b, Codec{}, defaultRate, channels, media.EncoderOptions{})
				var dst []byte
				b.ReportAllocs()
				i, start := 0, cpuTime()
				for b.Loop() {
					n := frameSize * channels
					dst, _ = e.Encode(dst[:0], pcm[i*n:(i+1)*n])
					i = (i + 1) % frames
				}
				reportCore(b, cpuTime()-start)
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for channels := 1; channels <= 2; channels++ {
		for _, name := range []string{"speech", "music", "noise"} {
			b.Run(fmt.Sprintf("%s/%d", name, channels), func(b *testing.B) {
				const frames = 64
				e := mustEncoder(b, Codec{}, defaultRate, channels, media.EncoderOptions{})
				encoded := encodeAll(b, e, render(name, defaultRate, channels, frames))
				d := mustDecoder(b, e.Track())
				var pcm []float32
				b.ReportAllocs()
				i, start := 0, cpuTime()
				for b.Loop() {
					pcm, _ = d.Decode(pcm[:0], encoded[i])
					i = (i + 1) % frames
				}
				reportCore(b, cpuTime()-start)
			})
		}
	}
}

// reportCore reports the processor time, which other programs on the machine
// disturb less than they do the time.
func reportCore(b *testing.B, used time.Duration) {
	perFrame := float64(used.Nanoseconds()) / float64(b.N)
	b.ReportMetric(perFrame, "cpu-ns/frame")
	b.ReportMetric(perFrame*defaultRate/frameSize/1e9*100, "%core")
}

// cpuTime is the processor time of the process so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
