package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/rtmp"
)

// Call is a call as the product's clients know it. The last group is ours.
type Call struct {
	CallID           string `json:"callId"`
	ParentCallID     string `json:"parentCallId,omitempty"`
	Incoming         bool   `json:"incoming"`
	Status           string `json:"status"` // TRYING, RING, ESTABLISHED, HOLD, FINISH
	SIPStatus        int    `json:"sipStatus"`
	RTMPURL          string `json:"rtmpUrl,omitempty"`
	RTMPStream       string `json:"rtmpStream,omitempty"`
	StreamName       string `json:"streamName"`
	RTMPStreamStatus string `json:"rtmpStreamStatus,omitempty"`
	Caller           string `json:"caller"`
	Callee           string `json:"callee"`
	HasAudio         bool   `json:"hasAudio"`
	HasVideo         bool   `json:"hasVideo"`
	SDP              string `json:"sdp,omitempty"`
	VisibleName      string `json:"visibleName,omitempty"`
	MediaProvider    string `json:"mediaProvider"`
	SIPMessageRaw    string `json:"sipMessageRaw,omitempty"`
	IsMSRP           bool   `json:"isMsrp"`
	HoldForTransfer  bool   `json:"holdForTransfer"`

	Trunk        string    `json:"trunk"`
	CallerName   string    `json:"callerName,omitempty"`
	Started      time.Time `json:"started"`
	Answered     time.Time `json:"answered,omitzero"`
	AudioCodec   string    `json:"audioCodec,omitempty"`
	VideoCodec   string    `json:"videoCodec,omitempty"`
	RemoteAddr   string    `json:"remoteAddr"`
	PacketsLost  int64     `json:"packetsLost"`
	PacketsTotal uint64    `json:"packetsReceived"`
	Quality      *Quality  `json:"quality"`
}

// The statuses of a call.
const (
	statusTrying      = "TRYING"
	statusEstablished = "ESTABLISHED"
	statusHold        = "HOLD"
	statusFinish      = "FINISH"
)

func callOf(s *trunkcast.Session) Call {
	c := s.Call()
	out := Call{
		CallID: c.ID(), Incoming: c.Incoming(), StreamName: s.Stream().Name, Caller: c.Caller(), Callee: c.Number(),
		SDP: string(c.Request().Body()), MediaProvider: "SIP", SIPMessageRaw: withoutCredentials(c.Request().String()),
		VisibleName: c.Trunk().Config().VisibleName,
		Trunk:       c.Trunk().Name(), CallerName: c.CallerName(), Started: c.Started(), Answered: c.Answered(),
		RemoteAddr: c.Remote().String(),
	}
	out.Status, out.SIPStatus = status(s)
	describeMedia(&out, s)
	describeOutput(&out, s)
	return out
}

// status is the product's word for where a call stands, with the SIP status
// last sent for its INVITE.
func status(s *trunkcast.Session) (string, int) {
	select {
	case <-s.Call().Done():
		return statusFinish, http.StatusOK
	default:
	}
	switch {
	case s.Call().Answered().IsZero():
		return statusTrying, 100
	case s.Held():
		return statusHold, 200
	default:
		return statusEstablished, 200
	}
}

func describeMedia(out *Call, s *trunkcast.Session) {
	agreed := s.Agreed()
	if l := agreed.Line(sdp.Audio); l != nil {
		out.HasAudio = true
		out.AudioCodec = string(l.Recv.First().Codec)
	}
	if l := agreed.Line(sdp.Video); l != nil {
		out.HasVideo = true
		out.VideoCodec = string(l.Recv.First().Codec)
	}
	st := s.Stats()
	out.Quality = qualityOf(st)
	for _, l := range st.Media.Lines {
		out.PacketsLost += l.Received.Lost
		out.PacketsTotal += l.Received.Packets
	}
}

func describeOutput(out *Call, s *trunkcast.Session) {
	for _, o := range s.Stats().Outputs {
		if o.RTMP == nil {
			continue
		}
		out.RTMPURL, out.RTMPStream = application(o.RTMP.URL, s.Stream().Name), s.Stream().Name
		out.RTMPStreamStatus = map[rtmp.State]string{
			rtmp.Live: "PUBLISHING", rtmp.Connecting: "PENDING", rtmp.Waiting: "PENDING", rtmp.Closed: "FAILED",
		}[o.RTMP.State]
		return
	}
}

// application is the URL of a stream less the stream's name.
func application(url, stream string) string {
	url, query, found := strings.Cut(url, "?")
	url = strings.TrimSuffix(url, "/"+stream)
	if found {
		url += "?" + query
	}
	return url
}

func (h *Handler) callFindAll(_ *http.Request, _ request) (any, error) {
	return h.calls(func(Call) bool { return true })
}

func (h *Handler) callFind(_ *http.Request, r request) (any, error) {
	if err := r.known("callId", "callee", "rtmpUrl", "status"); err != nil {
		return nil, err
	}
	var want [4]string
	for i, key := range []string{"callId", "callee", "rtmpUrl", "status"} {
		var err error
		if want[i], err = r.text(key); err != nil {
			return nil, err
		}
	}
	return h.calls(func(c Call) bool {
		for i, have := range []string{c.CallID, c.Callee, c.RTMPURL, c.Status} {
			if want[i] != "" && want[i] != have {
				return false
			}
		}
		return true
	})
}

func (h *Handler) calls(match func(Call) bool) (any, error) {
	var list []Call
	for _, s := range h.Bridge.Sessions() {
		if c := callOf(s); match(c) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, notFound("no call")
	}
	return list, nil
}

// session finds the call that a request names.
func (h *Handler) session(r request) (*trunkcast.Session, error) {
	id, err := r.needed("callId")
	if err != nil {
		return nil, err
	}
	s := h.Bridge.Session(id)
	if s == nil {
		return nil, notFound("no call %q", id)
	}
	return s, nil
}

const hangupTimeout = 10 * time.Second

func (h *Handler) callTerminate(r *http.Request, body request) (any, error) {
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), hangupTimeout)
	defer cancel()
	return nil, s.Hangup(ctx, "terminated by REST")
}

func (h *Handler) callSendDTMF(r *http.Request, body request) (any, error) {
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	digits, err := body.needed("dtmf")
	if err != nil {
		return nil, err
	}
	kind, err := body.text("type")
	if err != nil {
		return nil, err
	}
	switch kind {
	case "", "RFC2833":
		err = s.SendDTMF(r.Context(), digits, 0)
	case "INFO":
		err = s.SendDTMFByInfo(r.Context(), digits, 0)
	default:
		return nil, badRequest("type must be RFC2833 or INFO, not %q", kind)
	}
	if errors.Is(err, rtpio.ErrNoEvents) || errors.Is(err, rtpio.ErrNotSending) {
		return nil, &Error{Status: http.StatusConflict, Message: err.Error()}
	}
	return nil, err
}
