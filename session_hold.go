package trunkcast

import "sync"

// holding is what was told last of Hold and Resume.
type holding struct {
	mu    sync.Mutex // held while it is told, so that the order is kept
	began bool       // CallAnswered was told
	held  bool
}

// beginHolding lets Hold be told from now on: not before CallAnswered. A call
// may begin on hold.
func (s *Session) beginHolding() {
	s.holding.mu.Lock()
	s.holding.began = true
	s.holding.mu.Unlock()
	s.noteHold()
}

// noteHold tells when the caller has put the call on hold or taken it back
// (RFC 3264 section 8.4): after each exchange of session descriptions, and
// after one was undone.
func (s *Session) noteHold() {
	h := &s.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	held := s.Held()
	if !h.began || h.held == held {
		return
	}
	h.held = held
	if held {
		s.log.Info("call on hold")
		s.tell(Event{Type: Hold})
	} else {
		s.log.Info("call resumed")
		s.tell(Event{Type: Resume})
	}
}
