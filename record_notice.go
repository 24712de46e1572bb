package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trunkcast/trunkcast/record"
)

// maxNotice bounds the notice that is played before a recording: the call is
// not to stay unrecorded because a stream was taken for a clip.
const maxNotice = 2 * time.Minute

// ErrNoticeTooLong tells that the notice before a recording did not end.
var ErrNoticeTooLong = fmt.Errorf("trunkcast: the notice takes longer than %v and was ended", maxNotice)

// beginRecording records the call if its plan says so: at once, or when the
// notice was played.
func (s *Session) beginRecording() {
	switch {
	case !s.plan.Record:
	case s.plan.RecordNotice == "":
		s.recordPlanned()
	default:
		s.watchers.Go(func() {
			if err := s.playNotice(s.plan.RecordNotice); err != nil && !s.isEnded() {
				s.log.Warn("notice of the recording not played", "error", err)
				s.tell(Event{Type: NoticeFailed, Err: err})
			}
			s.recordPlanned()
		})
	}
}

// recordPlanned begins the recording that the plan wants.
func (s *Session) recordPlanned() {
	if _, err := s.Record(record.Options{}); err != nil && !s.isEnded() {
		s.log.Error("call not recorded", "error", err)
		s.tell(Event{Type: OutputEnded, Output: "record", Err: err})
	}
}

// playNotice returns when the clip was played to its end.
func (s *Session) playNotice(url string) error {
	i, err := s.Inject(context.Background(), url, InjectOptions{})
	var mismatch *VideoMismatchError
	if errors.As(err, &mismatch) {
		i, err = s.Inject(context.Background(), url, InjectOptions{NoVideo: true})
	}
	if err != nil {
		return err
	}
	limit := time.NewTimer(maxNotice)
	defer limit.Stop()
	select {
	case <-i.Done():
	case <-limit.C:
		i.Stop()
		return ErrNoticeTooLong
	}
	if err := i.Err(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// isEnded tells whether the call takes no more outputs.
func (s *Session) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}
