package inject

import (
	"context"
	"io"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// reader is a track of a file and a place in it.
type reader interface {
	// peek returns the DTS of the next frame, false at the end.
	peek(ctx context.Context) (time.Duration, bool, error)
	// take returns that frame and goes on. It is nil without an error if
	// there is nothing in it that can be played.
	take() (*media.Frame, error)
	// rewind goes to the first frame.
	rewind() error
	// start is the DTS of the first frame.
	start() time.Duration
	// current is the track as it is now.
	current() *media.Track
}

// merger puts the frames of the tracks of a file in the order of their DTS.
// In a loop each track begins its next round by itself: the pictures of one
// round may begin before the sound of the last one has ended.
type merger struct {
	list   []*merged
	length time.Duration // of a round
	top    int           // the latest round that was begun
}

// merged is a track in a merger.
type merged struct {
	reader
	round int
	gave  bool // a frame in this round
}

func (m *merger) add(r reader) { m.list = append(m.list, &merged{reader: r}) }

func (m *merger) tracks() (list []*media.Track) {
	for _, t := range m.list {
		list = append(list, t.current())
	}
	return list
}

func (m *merger) duration() time.Duration { return m.length }
func (m *merger) round() int              { return m.top }

// sought is called when all tracks were placed.
func (m *merger) sought() {
	for _, t := range m.list {
		t.round, t.gave = m.top, true
	}
}

func (m *merger) next(ctx context.Context, looping bool) (*media.Frame, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first, err := m.earliest(ctx, looping && m.length > 0)
		if err != nil {
			return nil, err
		}
		f, err := first.take()
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		first.gave = true
		offset := time.Duration(first.round) * m.length
		f.DTS += offset
		f.PTS += offset
		return f, nil
	}
}

// earliest returns the track whose next frame comes first, or io.EOF.
func (m *merger) earliest(ctx context.Context, looping bool) (first *merged, err error) {
	var at time.Duration
	for _, t := range m.list {
		dts, ok, err := m.peek(ctx, t, looping)
		if err != nil {
			return nil, err
		}
		if dts += time.Duration(t.round) * m.length; ok && (first == nil || dts < at) {
			first, at = t, dts
		}
	}
	if first == nil {
		return nil, io.EOF
	}
	m.top = max(m.top, first.round)
	return first, nil
}

// peek is that of a track, which begins again at its end if the others do.
func (m *merger) peek(ctx context.Context, t *merged, looping bool) (time.Duration, bool, error) {
	again := looping || t.round < m.top
	dts, ok, err := t.peek(ctx)
	if err != nil || !again || ok && dts < m.length+t.start() {
		return dts, ok, err
	}
	// The end, or what reaches over the first frame of the next round.
	if !t.gave {
		return 0, false, nil // a round with nothing in it would be the first of many
	}
	if err := t.rewind(); err != nil {
		return 0, false, err
	}
	t.round++
	t.gave = false
	return t.peek(ctx)
}
