package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/record"
)

// Stream is a stream that runs, that of a call or one of /vod/startup, as the
// product's clients know it. The last group is ours.
type Stream struct {
	// MediaSessionID is the Call-ID of a call, the localMediaSessionId of
	// another stream.
	MediaSessionID string `json:"mediaSessionId"`
	Name           string `json:"name"`
	Published      bool   `json:"published"`
	Status         string `json:"status"` // PENDING before the first media, then PUBLISHING
	AudioCodec     string `json:"audioCodec,omitempty"`
	VideoCodec     string `json:"videoCodec,omitempty"`
	Record         bool   `json:"record"`
	Width          int    `json:"width"`
	Height         int    `json:"height"`
	CreateDate     int64  `json:"createDate"` // ms since 1970

	CallID string `json:"callId,omitempty"`
}

// running is a stream with what can be done with it.
type running struct {
	id     string
	callID string
	stream *media.Stream
	since  time.Time
	// record begins a recording, stop ends one in order, end the stream.
	record func(record.Options) (*record.Recording, error)
	stop   func(*record.Recording) error
	end    func(context.Context) error
}

func (h *Handler) streamRoutes() {
	h.handle("/stream/find", h.streamFind)
	h.handle("/stream/find_all", h.streamFindAll)
	h.handle("/stream/terminate", h.streamTerminate)
	for _, path := range []string{"/stream/startRecording", "/recorder/startup"} {
		h.handle(path, h.recordStart)
	}
	for _, path := range []string{"/stream/stopRecording", "/recorder/terminate"} {
		h.handle(path, h.recordStop)
	}
	h.handle("/recorder/find_all", h.recordFindAll)
}

// running are the streams of calls that were answered, then those of requests.
func (h *Handler) running() (list []running) {
	for _, s := range h.Bridge.Sessions() {
		if s.Agreed() != nil {
			list = append(list, runningCall(s))
		}
	}
	h.vods.mu.Lock()
	vods := slices.Clone(h.vods.list)
	h.vods.mu.Unlock()
	for _, v := range vods {
		list = append(list, h.runningVOD(v))
	}
	return list
}

func runningCall(s *trunkcast.Session) running {
	return running{
		id: s.ID(), callID: s.ID(), stream: s.Stream(), since: s.Call().Started(),
		record: s.Record, stop: s.StopRecording,
		end: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, hangupTimeout)
			defer cancel()
			return s.Hangup(ctx, "stream terminated by REST")
		},
	}
}

func (h *Handler) runningVOD(v *vod) running {
	return running{
		id: v.LocalMediaSessionID, stream: v.stream, since: v.began,
		record: func(o record.Options) (*record.Recording, error) { return h.recordVOD(v, o) },
		stop:   h.stopVODRecording,
		end:    func(context.Context) error { stopVODs([]*vod{v}); return nil },
	}
}

// one finds the stream that a request names by its mediaSessionId.
func (h *Handler) one(body request) (running, error) {
	id, err := body.needed("mediaSessionId")
	if err != nil {
		return running{}, err
	}
	for _, r := range h.running() {
		if r.id == id {
			return r, nil
		}
	}
	return running{}, notFound("no stream with the mediaSessionId %q", id)
}

func (h *Handler) describeStream(r running) Stream {
	out := Stream{
		MediaSessionID: r.id, Name: r.stream.Name, Published: true, Status: "PENDING",
		Record: len(h.recordingsOf(r.id)) > 0, CreateDate: r.since.UnixMilli(), CallID: r.callID,
	}
	for _, t := range r.stream.Tracks() {
		out.Status = "PUBLISHING"
		if t.Codec.Audio() {
			out.AudioCodec = string(t.Codec)
			continue
		}
		out.VideoCodec, out.Width, out.Height = string(t.Codec), t.Width, t.Height
	}
	return out
}

// streamFind finds streams by name, mediaSessionId and published: all of ours
// are, since what is played only has no recording and no end of its own.
func (h *Handler) streamFind(_ *http.Request, body request) (any, error) {
	if err := body.known("name", "published", "mediaSessionId"); err != nil {
		return nil, err
	}
	name, err := body.text("name")
	if err != nil {
		return nil, err
	}
	id, err := body.text("mediaSessionId")
	if err != nil {
		return nil, err
	}
	published, err := body.flag("published", true)
	if err != nil {
		return nil, err
	}
	var list []Stream
	for _, r := range h.running() {
		if published && (name == "" || name == r.stream.Name) && (id == "" || id == r.id) {
			list = append(list, h.describeStream(r))
		}
	}
	if len(list) == 0 {
		return nil, notFound("no such stream")
	}
	return list, nil
}

func (h *Handler) streamFindAll(r *http.Request, _ request) (any, error) { return h.streamFind(r, nil) }

// streamTerminate ends a stream, and with it the call that it is of.
func (h *Handler) streamTerminate(r *http.Request, body request) (any, error) {
	if err := body.known("mediaSessionId"); err != nil {
		return nil, err
	}
	s, err := h.one(body)
	if err != nil {
		return nil, err
	}
	err = s.end(r.Context())
	if errors.Is(err, trunkcast.ErrEnded) {
		err = notFound("the stream has ended")
	}
	return nil, err
}
