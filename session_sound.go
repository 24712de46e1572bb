package trunkcast

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// Over tells how the sound of an injection stands to what the caller is sent
// otherwise: another injection, or the stand-by.
type Over int

// What can be.
const (
	// OverNothing is an injection with nothing beside it: there can be one in a
	// call, in the place of the stand-by.
	OverNothing Over = iota
	// OverReplace plays the sound alone, in the place of the sound of what runs,
	// whose pictures go on.
	OverReplace
	// OverMix plays the sound alone, added to the sound of what runs. It costs
	// decoding that and encoding the sum, in one channel, while it lasts.
	OverMix
)

// sounds is where the sound of what is played to a caller meets:
//
//	injection or stand-by --+--------------+--> caller
//	                        +--> mixer ----+
//	sound over it ----------+--------------+
type sounds struct {
	mu           sync.Mutex
	over         Over
	mixer        *inject.Mixer
	under, upper *inject.MixerInput // of the mixer
	until        time.Duration      // session time up to which the caller has been given sound from over or the mixer
}

// soundFrame is how long the sound is that one frame of most codecs holds.
const soundFrame = 20 * time.Millisecond

// beginOver lets a sound over the others in.
func (s *Session) beginOver(mode Over) error {
	m := &s.sounds
	m.mu.Lock()
	defer m.mu.Unlock()
	if mode == OverMix {
		mixer := &inject.Mixer{Sink: media.SinkFunc(s.writeOver), Audio: s.sendAudio(), Codecs: s.bridge.Codecs}
		under, err := mixer.Input()
		if err != nil {
			return err
		}
		upper, err := mixer.Input()
		if err != nil {
			return err
		}
		m.mixer, m.under, m.upper = mixer, under, upper
	}
	m.over = mode
	return nil
}

// endOver gives the caller the sound of what runs alone again. It is called
// when the last frame of the sound over it was written.
func (s *Session) endOver() {
	m := &s.sounds
	m.mu.Lock()
	mixer := m.mixer
	m.over, m.mixer, m.under, m.upper = OverNothing, nil, nil, nil
	m.mu.Unlock()
	if mixer != nil {
		_ = mixer.Close()
	}
}

// writeSound gives the caller a frame of sound, by the way that it has to go
// now. Its times are those of the session.
func (s *Session) writeSound(ctx context.Context, f *media.Frame, over bool) error {
	m := &s.sounds
	m.mu.Lock()
	mode, input, until := m.over, m.under, m.until
	if over {
		input = m.upper
	}
	m.mu.Unlock()
	switch {
	case mode == OverMix:
		// If it is closed in this moment, the frame goes on alone.
		if err := input.WriteFrame(ctx, f); !errors.Is(err, media.ErrClosed) {
			return err
		}
	case over:
		return s.writeOver(ctx, f)
	case mode == OverReplace, f.PTS+soundFrame/2 < until:
		return nil
	}
	return s.media.WriteFrame(ctx, f)
}

// writeOver gives the caller sound of over or the mixer, and notes how far it
// is: what follows must not be placed behind it and be late for good.
func (s *Session) writeOver(ctx context.Context, f *media.Frame) error {
	s.sounds.mu.Lock()
	s.sounds.until = f.PTS + soundFrame
	s.sounds.mu.Unlock()
	return s.media.WriteFrame(ctx, f)
}
