//go:build linux

package plctest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// FFmpeg has ffmpeg convert in, a file, by options for it and for the output.
func FFmpeg(t testing.TB, in []byte, options, output []string) []byte {
	t.Helper()
	folder := t.TempDir()
	from, to := filepath.Join(folder, "in"), filepath.Join(folder, "out")
	if err := os.WriteFile(from, in, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-v", "error", "-nostdin", "-y"}, options...)
	args = append(args, "-i", from)
	args = append(append(args, output...), to)
	if _, errs, err := peertest.Run(t, time.Minute, "ffmpeg", args...); err != nil || errs != "" {
		t.Fatalf("ffmpeg %q: %v\n%s", args, err, errs)
	}
	out, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// S16 returns 16 bit samples, little-endian, as ffmpeg's s16le.
func S16(pcm []float32) []byte {
	out := make([]byte, 0, 2*len(pcm))
	for _, s := range pcm {
		v := max(-32768, min(32767, s*32768))
		out = binary.LittleEndian.AppendUint16(out, uint16(int16(v)))
	}
	return out
}

// FromS16 is the reverse of [S16].
func FromS16(data []byte) []float32 {
	pcm := make([]float32, 0, len(data)/2)
	for ; len(data) >= 2; data = data[2:] {
		pcm = append(pcm, float32(int16(binary.LittleEndian.Uint16(data)))/32768)
	}
	return pcm
}
