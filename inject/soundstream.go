package inject

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// maxFill is the longest gap in the sound that a transcoder fills with silence:
// all of that would be sent at once. After a longer one it begins anew.
const maxFill = 300 * time.Millisecond

// errSound tells that sound cannot be transcoded, for a reason of the codecs.
var errSound = errors.New("inject: sound cannot be transcoded")

// soundStream takes sound to a sink that does not take its codec: by a
// media.Stream, which is left and begun anew after a pause, for it would fill
// that with silence.
type soundStream struct {
	name    string
	codecs  []media.AudioCodec
	audio   []media.Codec // that the sink takes, the first one to encode to
	encoder media.EncoderOptions
	sink    media.Sink
	log     *slog.Logger

	stream *media.Stream
	sub    *media.Subscription
	last   time.Duration // PTS
}

// write gives a frame to the sink, soon.
func (s *soundStream) write(ctx context.Context, f *media.Frame) error {
	if s.stream != nil && f.PTS-s.last > maxFill {
		s.leave(false)
	}
	s.last = f.PTS
	if s.stream == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if err := s.stream.WriteFrame(ctx, f); err != nil {
		return err
	}
	select {
	case <-s.sub.Done():
		return s.sub.Err()
	default:
	}
	if err := s.sub.AudioErr(); err != nil {
		return fmt.Errorf("%w: %w", errSound, err)
	}
	return nil
}

func (s *soundStream) begin() error {
	stream := &media.Stream{Name: s.name, Codecs: s.codecs, Logger: s.log}
	sub, err := stream.Attach(media.SinkFunc(s.sink.WriteFrame), media.SinkOptions{
		Name: s.name, Audio: s.audio, Encoder: s.encoder, NoVideo: true,
	})
	if err != nil {
		return fmt.Errorf("inject: transcoding: %w", err)
	}
	s.stream, s.sub = stream, sub
	return nil
}

// leave ends the stream, after what is queued if that is wanted.
func (s *soundStream) leave(orderly bool) {
	if s.stream == nil {
		return
	}
	if orderly {
		_ = s.stream.CloseWrite()
	} else {
		_ = s.stream.Close()
	}
	s.stream, s.sub = nil, nil
}

// ended is closed when the sink takes no more; nil while there is no stream.
func (s *soundStream) ended() <-chan struct{} {
	if s.sub == nil {
		return nil
	}
	return s.sub.Done()
}

func hasCodec(codecs []media.AudioCodec, c media.Codec) bool {
	return slices.ContainsFunc(codecs, func(a media.AudioCodec) bool { return a != nil && a.Codec() == c })
}

// withCodecs adds those that are not among them.
func withCodecs(codecs []media.AudioCodec, more ...media.AudioCodec) []media.AudioCodec {
	codecs = slices.Clip(codecs)
	for _, a := range more {
		if !hasCodec(codecs, a.Codec()) {
			codecs = append(codecs, a)
		}
	}
	return codecs
}
