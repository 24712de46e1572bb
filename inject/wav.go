package inject

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Format tags of WAVE files (RFC 2361).
const (
	wavePCM        = 1
	waveALaw       = 6
	waveMuLaw      = 7
	waveExtensible = 0xfffe
)

// wavFrame is the length of the frames cut from a WAV file.
const wavFrame = 20 * time.Millisecond

// maxChunks bounds the chunks before the sound.
const maxChunks = 1000

// wav reads a RIFF WAVE file: PCM of 8, 16 or 24 bits, A-law and mu-law.
type wav struct {
	merger
	r          io.ReaderAt
	track      *media.Track
	first, end int64 // of the samples in the file
	block      int64 // bytes of a sample of all channels
	bits       int   // 0 where the bytes go through as they are
	sample     int64 // the next one
}

func openWAV(r io.ReaderAt, size int64, o FileOptions) (demuxer, error) {
	if o.NoAudio {
		return nil, fmt.Errorf("%w: a WAV file without its sound", ErrNotMedia)
	}
	const riff = 12
	w := &wav{r: r}
	off := int64(riff)
	for range maxChunks {
		var head [8]byte
		if off > size-int64(len(head)) {
			break
		}
		if err := readFull(r, head[:], off); err != nil {
			return nil, fmt.Errorf("inject: WAV chunk at %d: %w", off, err)
		}
		off += int64(len(head))
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "fmt ":
			if err := w.format(off, length); err != nil {
				return nil, err
			}
		case "data":
			if w.track == nil {
				return nil, formError("WAV with its format after the sound")
			}
			// A file that was being written when it was cut has 0 or the most.
			if length == 0 || length > size-off {
				length = size - off
			}
			w.first, w.end = off, off+length-length%w.block
			if w.first == w.end {
				return nil, fmt.Errorf("%w: WAV without samples", ErrNotMedia)
			}
			w.length = w.at(w.samples())
			w.add(w)
			return w, nil
		}
		off += length + length&1
	}
	return nil, fmt.Errorf("%w: WAV without sound", ErrNotMedia)
}

// format reads the chunk "fmt ".
func (w *wav) format(off, length int64) error {
	const least, extended = 16, 26
	if length < least {
		return boundsError("WAV format of %d bytes", length)
	}
	b := make([]byte, min(length, extended))
	if err := readFull(w.r, b, off); err != nil {
		return fmt.Errorf("inject: WAV format: %w", err)
	}
	le := binary.LittleEndian
	tag, channels, rate, bits := le.Uint16(b), int(le.Uint16(b[2:])), int(le.Uint32(b[4:])), int(le.Uint16(b[14:]))
	if tag == waveExtensible && len(b) == extended {
		tag = le.Uint16(b[24:]) // the first two bytes of the sub-format
	}
	if channels < 1 || channels > 2 || rate < minRate || rate > maxRate {
		return &ErrUnsupportedCodec{Codec: "WAV", Reason: fmt.Sprintf("%d channels of %d Hz", channels, rate)}
	}
	t := &media.Track{Codec: L16, ClockRate: rate, Channels: channels}
	switch {
	case tag == wavePCM && (bits == 8 || bits == 16 || bits == 24):
		w.bits = bits
	case tag == waveALaw && bits == 8:
		t.Codec = media.PCMA
	case tag == waveMuLaw && bits == 8:
		t.Codec = media.PCMU
	default:
		return &ErrUnsupportedCodec{Codec: "WAV", Reason: fmt.Sprintf("format %#x of %d bits", tag, bits)}
	}
	// Every sink takes G.711 for 8 kHz (RFC 3551, section 4.5.14).
	if w.bits == 0 && (rate != 8000 || channels != 1) {
		return &ErrUnsupportedCodec{Codec: string(t.Codec), Reason: fmt.Sprintf("%d channels of %d Hz", channels, rate)}
	}
	w.block = int64(channels * bits / 8)
	w.track = t
	return nil
}

func (w *wav) skipped() uint64       { return 0 }
func (w *wav) samples() int64        { return (w.end - w.first) / w.block }
func (w *wav) current() *media.Track { return w.track }
func (w *wav) start() time.Duration  { return 0 }

func (w *wav) at(sample int64) time.Duration { return duration(sample, uint32(w.track.ClockRate)) }

func (w *wav) peek(context.Context) (time.Duration, bool, error) {
	return w.at(w.sample), w.sample < w.samples(), nil
}

func (w *wav) take() (*media.Frame, error) {
	n := min(ticksOf(wavFrame, uint32(w.track.ClockRate)), w.samples()-w.sample)
	b := make([]byte, n*w.block)
	if err := readFull(w.r, b, w.first+w.sample*w.block); err != nil {
		return nil, fmt.Errorf("inject: WAV sample %d: %w", w.sample, err)
	}
	at := w.at(w.sample)
	w.sample += n
	return &media.Frame{Track: w.track, PTS: at, DTS: at, Data: [][]byte{w.convert(b)}}, nil
}

func (w *wav) rewind() error {
	w.sample = 0
	return nil
}

// convert makes L16 of the PCM of a file, which has the low byte first.
func (w *wav) convert(b []byte) []byte {
	switch w.bits {
	case 8: // has no sign
		out := make([]byte, 2*len(b))
		for i, v := range b {
			out[2*i] = v ^ 0x80
		}
		return out
	case 16:
		for i := 0; i < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
		return b
	case 24:
		out := make([]byte, 0, len(b)/3*2)
		for i := 0; i < len(b); i += 3 {
			out = append(out, b[i+2], b[i+1])
		}
		return out
	}
	return b
}

func (w *wav) seek(at time.Duration) (time.Duration, error) {
	step := ticksOf(wavFrame, uint32(w.track.ClockRate))
	n := min(ticksOf(at, uint32(w.track.ClockRate)), max(w.samples()-1, 0))
	w.sample = n - n%step
	w.sought()
	return w.at(w.sample), nil
}

func (w *wav) nextKey(time.Duration) (time.Duration, bool) { return 0, false }
