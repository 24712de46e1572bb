package aac

import (
	"sync"

	"github.com/trunkcast/trunkcast/media"
)

// Encoders and decoders that were closed, by number of channels less one.
var encoders, decoders [2]sync.Pool

// A pooledEncoder is one stream's hold on an encoder. Close ends the hold, so
// that a second Close, or a use after it, cannot reach the next stream.
type pooledEncoder struct {
	track   *media.Track
	delay   int
	encoder *encoder // nil after Close
}

// Track implements media.AudioEncoder.
func (p *pooledEncoder) Track() *media.Track { return p.track }

// FrameSize implements media.AudioEncoder.
func (p *pooledEncoder) FrameSize() int { return frameSize }

// Delay implements media.AudioEncoder: the overlap of the transform, and the
// samples looked ahead.
func (p *pooledEncoder) Delay() int { return p.delay }

// Encode implements media.AudioEncoder. Samples that are no numbers are taken
// as silence, and those beyond four times full scale are cut off.
func (p *pooledEncoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if p.encoder == nil {
		return dst, media.ErrClosed
	}
	return p.encoder.encode(dst, pcm)
}

// Close implements media.AudioEncoder. It may be called more than once.
func (p *pooledEncoder) Close() {
	if p.encoder != nil {
		encoders[p.track.Channels-1].Put(p.encoder)
		p.encoder = nil
	}
}

// A pooledDecoder is one stream's hold on a decoder.
type pooledDecoder struct {
	config  Config
	decoder *decoder // nil after Close
}

// SampleRate implements media.AudioDecoder.
func (p *pooledDecoder) SampleRate() int { return p.config.SampleRate }

// Channels implements media.AudioDecoder.
func (p *pooledDecoder) Channels() int { return p.config.Channels }

// Decode implements media.AudioDecoder. The error wraps ErrFrame, or is an
// *UnsupportedError.
func (p *pooledDecoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if p.decoder == nil {
		return pcm, media.ErrClosed
	}
	return p.decoder.decode(pcm, data)
}

// Conceal implements media.AudioDecoder: the last good frame again, fading.
// next is of no use, as a frame of AAC carries nothing of another.
func (p *pooledDecoder) Conceal(pcm []float32, samples int, next []byte) []float32 {
	if p.decoder == nil {
		return append(pcm, make([]float32, max(0, samples)*p.config.Channels)...)
	}
	return p.decoder.conceal(pcm, samples)
}

// Close implements media.AudioDecoder. It may be called more than once.
func (p *pooledDecoder) Close() {
	if p.decoder != nil {
		decoders[p.config.Channels-1].Put(p.decoder)
		p.decoder = nil
	}
}
