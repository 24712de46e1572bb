// Package media is the vocabulary that the parts of trunkcast share: codecs,
// tracks, frames, and the two interfaces between which they travel.
//
//	rtpio.Session --Frame--> Stream --+--> Sink (RTMP publisher)
//	                                  +--> Sink (recording)
//	                                  +--> Source (another call, a page)
//
// A [Frame] is one video access unit or one audio frame on a timeline that
// audio and video share. A [Stream] has one writer and any number of sinks,
// each behind a queue of its own, and transcodes audio once for each codec
// that some sink wants. Nothing here knows SIP, RTP or RTMP, and nothing but
// the standard library and a resampler is imported.
package media

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Codec names a media encoding as SDP does (RFC 4855 subtype names, upper
// case).
type Codec string

// The codecs that trunkcast carries.
const (
	H264 Codec = "H264"
	H265 Codec = "H265"
	AAC  Codec = "AAC" // MPEG-4 AAC-LC, raw access units
	Opus Codec = "OPUS"
	G722 Codec = "G722"
	PCMA Codec = "PCMA"
	PCMU Codec = "PCMU"
)

// Video tells whether c is a video codec.
func (c Codec) Video() bool { return c == H264 || c == H265 }

// Audio tells whether c is an audio codec.
func (c Codec) Audio() bool { return c != "" && !c.Video() }

// VideoClockRate is the clock rate of every video track in Hz.
const VideoClockRate = 90000

// Track describes the frames that point to it. It is immutable: when the
// configuration of a stream changes (new parameter sets, another resolution,
// another codec), the frames that follow point to another Track. Pointers are
// therefore enough to notice a change.
type Track struct {
	Codec Codec
	// ClockRate is in Hz: 90000 for video, the sampling rate of the audio
	// (48000 for Opus, 16000 for G.722 although its RTP clock says 8000,
	// RFC 3551 section 4.5.2).
	ClockRate int
	// Channels is 1 or 2 for audio, 0 for video.
	Channels int
	// Width and Height are in luma samples after cropping, 0 if unknown.
	Width, Height int
	// Config holds what a decoder needs before the first frame: SPS and PPS
	// for H.264; VPS, SPS and PPS for H.265 (NAL units without start codes);
	// the AudioSpecificConfig (ISO 14496-3, 1.6.2.1) for AAC; nothing for the
	// others.
	Config [][]byte
}

// Frame is one video access unit or one audio frame. It is immutable once it
// was written: any number of goroutines may read it, and it is left to the
// garbage collector.
type Frame struct {
	Track *Track
	// PTS and DTS are offsets from the start of the stream on the one
	// timeline that all its tracks share. DTS never goes back within a track.
	// They are equal unless the video has B-frames.
	PTS, DTS time.Duration
	// Key is set on video frames from which decoding can start. It has no
	// meaning for audio.
	Key bool
	// Data holds the NAL units of a video access unit, without start codes,
	// without access unit delimiters and parameter sets; or one element, the
	// encoded audio frame.
	Data [][]byte
}

// Size returns the number of bytes in f.Data.
func (f *Frame) Size() int {
	n := 0
	for _, d := range f.Data {
		n += len(d)
	}
	return n
}

// A Sink takes frames. WriteFrame is called by one goroutine at a time. It
// may block, but returns soon after ctx is done. An error ends the sink: no
// further frame is written to it. A Sink that also implements io.Closer is
// closed by its Stream after its last frame.
type Sink interface {
	WriteFrame(ctx context.Context, f *Frame) error
}

// SinkFunc is a function that is a [Sink].
type SinkFunc func(ctx context.Context, f *Frame) error

// WriteFrame calls fn.
func (fn SinkFunc) WriteFrame(ctx context.Context, f *Frame) error { return fn(ctx, f) }

// A Source gives frames, in the order of their DTS across its tracks.
type Source interface {
	// Tracks returns the tracks known now; frames may bring others later.
	Tracks() []*Track
	// ReadFrame returns the next frame. It is called by one goroutine at a
	// time, returns soon after ctx is done, and io.EOF at the orderly end.
	ReadFrame(ctx context.Context) (*Frame, error)
	// Close frees what the source holds and makes a blocked ReadFrame return.
	// It may be called more than once and from any goroutine.
	Close() error
}

// ErrClosed is returned by operations on something that was closed by us.
var ErrClosed = errors.New("media: closed")

// ErrNoEncoder tells that an output needs a codec that nobody gave an encoder
// or decoder for: see [Stream.Codecs]. Video and other outputs go on.
type ErrNoEncoder struct {
	From, To Codec
}

func (e *ErrNoEncoder) Error() string {
	return fmt.Sprintf("media: no codec to turn %s into %s: add the package for it to Codecs "+
		"(github.com/trunkcast/trunkcast/media/aac, .../media/opus, .../media/g711, .../media/g722)", e.From, e.To)
}

// An AudioCodec makes decoders and encoders of one codec. Its methods may be
// called concurrently; what they return belongs to one goroutine.
type AudioCodec interface {
	Codec() Codec
	// NewDecoder returns a decoder for frames of t, or an error that says what
	// in t is not supported.
	NewDecoder(t *Track) (AudioDecoder, error)
	// NewEncoder returns an encoder that makes frames of the track t or, where
	// t leaves ClockRate, Channels or Config zero, of a track completed with
	// the codec's defaults: see AudioEncoder.Track.
	NewEncoder(t *Track, o EncoderOptions) (AudioEncoder, error)
}

// EncoderOptions are wishes that an encoder follows as far as its codec can.
type EncoderOptions struct {
	// BitRate in bit/s; 0 chooses the codec's default for speech (AAC 64000
	// mono, Opus 32000).
	BitRate int
	// Bandwidth is the highest frequency in the input in Hz, for example 4000
	// when it comes from G.711; 0 when unknown.
	Bandwidth int
}

// An AudioDecoder turns frames into PCM: interleaved float32 samples, full
// scale -1 to 1, at SampleRate and Channels. It belongs to one goroutine.
type AudioDecoder interface {
	SampleRate() int
	Channels() int
	// Decode appends the samples of one encoded frame to pcm. After an error,
	// which appends nothing, the next frame can be decoded.
	Decode(pcm []float32, data []byte) ([]float32, error)
	// Conceal appends samples (per channel) in place of lost ones. next is the
	// frame after the gap, nil if it is not there: some codecs carry a spare
	// copy of the last lost frame in it. next itself is decoded by the
	// following Decode.
	Conceal(pcm []float32, samples int, next []byte) []float32
	// Close gives the decoder back to its pool, if it has one.
	Close()
}

// An AudioEncoder turns PCM into frames. It belongs to one goroutine.
type AudioEncoder interface {
	// Track describes the frames. It does not change.
	Track() *Track
	// FrameSize is the number of samples (per channel) in every frame.
	FrameSize() int
	// Delay is the number of samples (per channel) by which the decoded
	// output is behind the input: the PTS of the frame that Encode returns is
	// the time of the first sample given in that call less Delay.
	Delay() int
	// Encode encodes exactly FrameSize interleaved samples per channel and
	// appends the frame to dst. It may append nothing (a codec's start-up).
	Encode(dst []byte, pcm []float32) ([]byte, error)
	// Close gives the encoder back to its pool, if it has one.
	Close()
}
