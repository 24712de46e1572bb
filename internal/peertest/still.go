//go:build linux

package peertest

import (
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Snapshot returns a picture of the stream or file url: the one after at.
func Snapshot(t testing.TB, url string, at time.Duration) image.Image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "still.png")
	args := []string{"-i", url, "-ss", seconds(at), "-frames:v", "1", "-update", "1", file}
	if strings.Contains(url, "://") {
		args = append([]string{"-rw_timeout", "15000000"}, args...)
	}
	ffmpeg(t, args...)
	img, err := decodePNG(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return img
}

func decodePNG(file string) (image.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return png.Decode(f)
}

// Luma returns the mean brightness of a picture, 0 to 255, and its standard
// deviation: that of a picture of one colour is 0, of a test card above 30.
func Luma(img image.Image) (mean, deviation float64) {
	b := img.Bounds()
	var sum, squares float64
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			l := (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(bl)) / 257 // ITU-R BT.601
			sum += l
			squares += l * l
		}
	}
	n := float64(b.Dx() * b.Dy())
	mean = sum / n
	return mean, math.Sqrt(max(0, squares/n-mean*mean))
}

// Loudness of a file's sound.
type Loudness struct {
	RMS, Peak float64       // dBFS: 0 is full scale; -Inf is digital silence
	Silent    time.Duration // together below -50 dBFS for at least 0.3 s
	Length    time.Duration
}

// MeasureLoudness measures the sound of a file or stream.
func MeasureLoudness(t testing.TB, file string) Loudness {
	t.Helper()
	out, errs, err := Run(t, 2*time.Minute, "ffmpeg", "-v", "info", "-nostats", "-nostdin", "-i", file, "-map", "0:a:0",
		"-af", "silencedetect=noise=-50dB:d=0.3,astats=measure_perchannel=none", "-f", "null", "-")
	if err != nil {
		t.Fatalf("loudness of %s: %v\n%s", file, err, tail(out+errs, 2000))
	}
	l := Loudness{RMS: math.Inf(-1), Peak: math.Inf(-1)}
	samples, rate := 0.0, 0.0
	for line := range strings.Lines(errs) {
		if _, v, ok := strings.Cut(line, "RMS level dB: "); ok {
			l.RMS = number(v)
		}
		if _, v, ok := strings.Cut(line, "Peak level dB: "); ok {
			l.Peak = number(v)
		}
		if _, v, ok := strings.Cut(line, "silence_duration: "); ok {
			l.Silent += time.Duration(number(v) * float64(time.Second))
		}
		if _, v, ok := strings.Cut(line, "Number of samples: "); ok {
			samples = number(v)
		}
		if before, _, ok := strings.Cut(line, " Hz,"); ok && rate == 0 && strings.Contains(line, "Audio:") {
			rate = number(before[strings.LastIndex(before, " ")+1:])
		}
	}
	if rate > 0 {
		l.Length = time.Duration(samples / rate * float64(time.Second))
	}
	return l
}
