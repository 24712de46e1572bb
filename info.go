package trunkcast

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// pictureFastUpdate asks for a key frame (RFC 5168 section 7.1).
const pictureFastUpdate = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" +
	`<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>` + "\r\n"

const (
	mediaControlType = "application/media_control+xml"
	dtmfRelayType    = "application/dtmf-relay"

	defaultDigit = 160 * time.Millisecond
)

// requestKeyFrameBySIP is the last step of the ladder: for callers that know
// neither PLI nor FIR, or do not heed them.
func (s *Session) requestKeyFrameBySIP(ctx context.Context) error {
	return s.sendInfo(ctx, mediaControlType, pictureFastUpdate)
}

// sendInfo sends an INFO (RFC 6086) within the call. A refusal is a
// *trunk.StatusError.
func (s *Session) sendInfo(ctx context.Context, contentType, body string) error {
	req := sip.NewRequest(sip.INFO, sip.Uri{})
	ct := sip.ContentTypeHeader(contentType)
	req.AppendHeader(&ct)
	req.SetBody([]byte(body))
	res, err := s.call.Do(ctx, req)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return &trunk.StatusError{Code: res.StatusCode, Reason: res.Reason}
	}
	return nil
}

// SendDTMFByInfo sends digits by SIP INFO (application/dtmf-relay), one
// request each, for callers who take no telephone-event. duration is of each
// digit, 0 means 160 ms. It returns when the last one was answered.
func (s *Session) SendDTMFByInfo(ctx context.Context, digits string, duration time.Duration) error {
	if duration <= 0 {
		duration = defaultDigit
	}
	for _, r := range digits {
		if _, ok := parseDigit(string(r)); !ok {
			return fmt.Errorf("trunkcast: %q is no DTMF digit", r)
		}
	}
	for _, r := range strings.ToUpper(digits) {
		body := fmt.Sprintf("Signal=%c\r\nDuration=%d\r\n", r, duration.Milliseconds())
		if err := s.sendInfo(ctx, dtmfRelayType, body); err != nil {
			return err
		}
	}
	return nil
}

// keyFrameRequested passes on that the caller needs a key frame.
func (s *Session) keyFrameRequested() {
	if i := s.Injection(); i != nil {
		i.requestKeyFrame()
		return
	}
	b := &s.standBy
	if !b.mu.TryLock() {
		return // it begins or ends
	}
	defer b.mu.Unlock()
	if b.injector != nil {
		b.injector.RequestKeyFrame()
	}
}

// info takes an INFO of the caller: a DTMF digit, or the wish for a key frame.
func (s *Session) info(req *sip.Request) {
	ct := req.ContentType()
	if ct == nil {
		return
	}
	kind, _, _ := strings.Cut(strings.ToLower(ct.Value()), ";")
	switch strings.TrimSpace(kind) {
	case dtmfRelayType:
		if r, d, ok := parseDTMFRelay(string(req.Body())); ok {
			s.digit(r, d)
		}
	case mediaControlType:
		if strings.Contains(string(req.Body()), "picture_fast_update") {
			s.keyFrameRequested()
		}
	case "application/dtmf":
		if r, ok := parseDigit(string(req.Body())); ok {
			s.digit(r, 0)
		}
	}
}

// parseDTMFRelay reads the body that phones send by INFO for a digit:
//
//	Signal=5
//	Duration=160
//
// with the duration in ms. No RFC states it.
func parseDTMFRelay(body string) (digit rune, d time.Duration, ok bool) {
	for line := range strings.Lines(body) {
		key, value, _ := strings.Cut(line, "=")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "signal":
			digit, ok = parseDigit(value)
		case "duration":
			if ms, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && ms > 0 && ms < 60_000 {
				d = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return digit, d, ok
}

// parseDigit reads a digit, also as the number of its event (10 is *, 11 #:
// RFC 4733 section 3.2), which some phones write.
func parseDigit(s string) (rune, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if n, err := strconv.Atoi(s); err == nil && n >= 10 && n <= 15 && len(s) == 2 {
		return rune("*#ABCD"[n-10]), true
	}
	if len(s) != 1 || !strings.Contains("0123456789*#ABCD", s) {
		return 0, false
	}
	return rune(s[0]), true
}

func (s *Session) mediaStarted(kind sdp.Kind, from netip.AddrPort) {
	s.log.Debug("media started", "kind", kind.String(), "remote_addr", from)
	s.tell(Event{Type: MediaStarted, Kind: kind.String()})
}
