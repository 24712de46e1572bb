package trunkcast

import (
	"time"

	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
)

// EventType tells what an [Event] is about.
type EventType int

// The events of a call. It begins with CallStarted and ends with CallEnded
// (also when the negotiation failed), or is CallRefused only.
const (
	CallStarted      EventType = iota // an INVITE that has a plan
	CallRefused                       // by the plan or the policy about names in use: see Err
	CallAnswered                      // 200 sent and acknowledged
	OutputState                       // a publisher's connection changed: see Output, State, Err
	OutputEnded                       // a target takes no more: see Output, Err
	Digit                             // a DTMF digit of the caller
	MediaStarted                      // the first packet of a kind of media: see Kind
	Hold                              // the caller wants nothing from us now; its media time-out rests
	Resume                            // it wants something again
	InjectionStarted                  // the first frame was sent: see Injection
	InjectionEnded                    // see Injection, and Err: io.EOF at its end, media.ErrClosed after Stop and with the call
	InjectionFailed                   // it cannot begin or broke off: see Injection, Err
	NoticeFailed                      // the notice of a recording was not played, or not to its end: see Err
	CallEnded                         // see Err, and Session.Stats for the figures
)

func (t EventType) String() string {
	names := [...]string{"call_started", "call_refused", "call_answered", "output_state", "output_ended",
		"digit", "media_started", "hold", "resume",
		"injection_started", "injection_ended", "injection_failed", "notice_failed", "call_ended"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// Event tells what happened to a call. Fields that the type does not name are
// zero.
type Event struct {
	Type    EventType
	Time    time.Time
	Call    *trunk.Call
	Session *Session // nil if the call was refused by its plan
	Output  string   // Target.Name
	State   rtmp.State
	// Injection is what is played to the caller. The events of it are told by
	// its goroutine, which must not wait for it: no Close.
	Injection *Injection
	Kind      string // "audio" or "video"
	Digit     rune
	// Duration is how long the digit was pressed, as far as that is known.
	Duration time.Duration
	Err      error
}
