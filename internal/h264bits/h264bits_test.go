package h264bits_test

import (
	"bytes"
	"testing"

	"github.com/trunkcast/trunkcast/internal/h264bits"
)

// TestWriter writes what ITU-T H.264 gives as examples: table 9-2 for
// Exp-Golomb codes, 7.4.1.1 for emulation prevention.
func TestWriter(t *testing.T) {
	var w h264bits.Writer
	for v := range uint(9) { // 1 010 011 00100 00101 00110 00111 0001000 0001001
		w.UE(v)
	}
	w.U(3, 5)
	// 10100110 01000010 10011000 11100010 00000100 1101 and the stop bit
	if got, want := w.NAL(0x41), []byte{0x41, 0xa6, 0x42, 0x98, 0xe2, 0x04, 0xd8}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	for _, c := range []struct{ in, out []byte }{
		{[]byte{0, 0, 0}, []byte{0, 0, 3, 0}},
		{[]byte{0, 0, 1}, []byte{0, 0, 3, 1}},
		{[]byte{0, 0, 3}, []byte{0, 0, 3, 3}},
		{[]byte{0, 0, 4}, []byte{0, 0, 4}},
		{[]byte{0, 0, 0, 0, 0}, []byte{0, 0, 3, 0, 0, 3, 0}},
		{[]byte{0, 1, 0, 0}, []byte{0, 1, 0, 0}},
	} {
		var w h264bits.Writer
		w.U(1, 1)
		w.Align()
		for _, b := range c.in {
			w.Fill(1, b)
		}
		w.U(1, 1)
		want := append(append([]byte{0x67, 0x80}, c.out...), 0xc0)
		if got := w.NAL(0x67); !bytes.Equal(got, want) {
			t.Errorf("% x gives % x, want % x", c.in, got, want)
		}
	}
}
