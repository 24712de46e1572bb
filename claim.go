package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

const (
	// replaceTimeout is how long a replaced call may take to write out its
	// stream and give its name free.
	replaceTimeout = 5 * time.Second
	maxSuffix      = 1000
)

// claim finds the name of a session's stream by the plan's policy, and enters
// the session among those that run.
func (b *Bridge) claim(ctx context.Context, s *Session) error {
	name := s.plan.Name
	err := b.enter(s, name)
	if !errors.Is(err, media.ErrNameTaken) {
		return err
	}
	switch s.plan.SameName {
	case SameNameRefuse:
		return busy("stream name %s is in use", name)
	case SameNameReplace:
		return b.replace(ctx, s)
	}
	for n := 2; n < maxSuffix; n++ {
		if err = b.enter(s, fmt.Sprintf("%s-%d", name, n)); !errors.Is(err, media.ErrNameTaken) {
			return err
		}
	}
	return busy("%d calls have the stream name %s", maxSuffix, name)
}

// enter takes a name for a session if it is free.
func (b *Bridge) enter(s *Session, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return &RefusedError{Code: 503, Rule: "the gateway is shutting down"}
	}
	s.stream.Name = name // nobody else knows the stream yet
	if err := b.Streams.Add(name, s.stream); err != nil {
		return err
	}
	b.sessions[s] = struct{}{}
	return nil
}

// replace hangs up the call that has the name, and takes it. Of several calls
// that wait for a name the newest gets it.
func (b *Bridge) replace(ctx context.Context, s *Session) error {
	name := s.plan.Name
	ctx, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	overtaken := b.wait(name)
	defer b.waited(name, overtaken)
	for {
		err := b.enter(s, name)
		if !errors.Is(err, media.ErrNameTaken) {
			return err
		}
		holder := b.holder(name)
		if holder == nil {
			if b.Streams.Get(name) == nil {
				continue // it has just left
			}
			return busy("stream name %s is in use by what is no call", name)
		}
		// A phone that is gone need not confirm: the end of its session counts.
		go func() {
			_ = holder.Hangup(ctx, "replaced by another call to the same number")
		}()
		select {
		case <-holder.done:
		case <-overtaken:
			return busy("stream name %s: a newer call wants it", name)
		case <-ctx.Done():
			return busy("stream name %s was not given free in time", name)
		}
	}
}

// wait enters a call that waits for a name; the one before it gives up.
func (b *Bridge) wait(name string) (overtaken chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if before := b.waiting[name]; before != nil {
		close(before)
	}
	overtaken = make(chan struct{})
	b.waiting[name] = overtaken
	return overtaken
}

func (b *Bridge) waited(name string, overtaken chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting[name] == overtaken {
		delete(b.waiting, name)
	}
}

// holder is the session whose stream has the name, nil if it is none of ours.
func (b *Bridge) holder(name string) *Session {
	stream := b.Streams.Get(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.sessions {
		if s.stream == stream {
			return s
		}
	}
	return nil
}

func busy(format string, args ...any) error {
	return &RefusedError{Code: 486, Rule: fmt.Sprintf(format, args...)}
}
