package media

import (
	"log/slog"
	"time"
)

// Stream carries the frames of one writer to any number of sinks, each behind
// a queue and a goroutine of its own: a slow or dead sink loses whole groups
// of pictures and delays nobody. Audio that a sink cannot take is transcoded,
// once for each target codec however many sinks want it, from the first need
// on and until the last of them has gone.
//
// The fields are set before the first method is called.
type Stream struct {
	// Name is the name of the stream, for logs and directories.
	Name string
	// Codecs decode and encode audio. Nil: nothing is transcoded.
	Codecs []AudioCodec
	// NeedKeyFrame is called when a sink cannot go on without a key frame: a
	// new one, or one that lost frames. At most once a second. It must not
	// block. Nil: they wait for the next one.
	NeedKeyFrame func()
	// DrainTimeout is the longest that Close and CloseWrite wait for one sink
	// to take what is queued. Default 2 s.
	DrainTimeout time.Duration
	// Logger gets sinks that fail or fall behind. Nil discards.
	Logger *slog.Logger

	streamState
}

// SinkOptions tells what a sink wants. The zero value takes everything as it
// is.
type SinkOptions struct {
	// Name is used in logs and statistics.
	Name string
	// Audio are the codecs that the sink takes, the first one being the one to
	// transcode to if the stream has none of them. Nil: any, never transcoded.
	Audio []Codec
	// BitRate and Bandwidth of that transcoding, in bit/s and Hz. Sinks with
	// the same codec and options share one encoder.
	Encoder EncoderOptions
	// NoAudio and NoVideo leave a kind of media away.
	NoAudio, NoVideo bool
	// MaxQueue bounds the bytes that wait for the sink, MaxDelay their age.
	// Defaults 4 MiB and 2 s.
	MaxQueue int
	MaxDelay time.Duration
}

// SubscriptionStats are counters of one sink.
type SubscriptionStats struct {
	Frames, Dropped uint64 // written to the sink; lost because it was too slow
	Queued          int    // bytes waiting now
}
