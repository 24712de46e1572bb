//go:build linux

package peertest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// silence writes a WAV file of silence, mono, 48 kHz, 16 bits a sample.
func silence(t testing.TB, folder string, length time.Duration) string {
	t.Helper()
	const rate = 48000
	data := uint32(length.Seconds()*rate) * 2
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	binary.LittleEndian.PutUint32(h[4:], 36+data)
	h = binary.LittleEndian.AppendUint32(h, rate)
	h = binary.LittleEndian.AppendUint32(h, rate*2) // bytes a second
	h = binary.LittleEndian.AppendUint16(h, 2)      // bytes a sample
	h = binary.LittleEndian.AppendUint16(h, 16)     // bits a sample
	h = append(h, "data"...)
	h = binary.LittleEndian.AppendUint32(h, data)
	path := filepath.Join(folder, "silence.wav")
	if err := os.WriteFile(path, h, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(h))+int64(data)); err != nil { // zeros are silence
		t.Fatal(err)
	}
	return path
}
