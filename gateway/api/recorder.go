package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"sync"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/record"
)

// Recording is a recording that runs, as the product's clients know it. The
// last group is ours.
type Recording struct {
	// FileName is the name of the file that is being written, empty before its
	// first frame and while nothing can be written.
	FileName       string `json:"fileName"`
	MediaSessionID string `json:"mediaSessionId"`

	Path       string `json:"path,omitempty"` // absolute
	StreamName string `json:"streamName"`
	CallID     string `json:"callId,omitempty"`
	Parts      int    `json:"parts"`
	Frames     uint64 `json:"frames"`
	Lost       uint64 `json:"lost"`
	Bytes      int64  `json:"bytes"`
	Paused     bool   `json:"paused"`
	Started    int64  `json:"started"` // ms since 1970
}

// recordings is what is kept of those that requests have begun.
type recordings struct {
	begin sync.Mutex // one at a time, so that a stream is recorded once

	mu sync.Mutex
	// vods are the outputs of streams that are not calls.
	vods map[*record.Recording]*media.Subscription
}

// mediaSessionID is the id of the stream that a recording is of: see Stream.
func mediaSessionID(i record.Info) string {
	if i.Session != "" {
		return i.Session
	}
	return i.CallID
}

// recordingsOf are those of a stream, whoever began them.
func (h *Handler) recordingsOf(id string) (list []*record.Recording) {
	if h.Bridge.Recorder == nil {
		return nil
	}
	for _, rec := range h.Bridge.Recorder.Recordings() {
		if mediaSessionID(rec.Info()) == id {
			list = append(list, rec)
		}
	}
	return list
}

// recordStart records a stream from its next key frame on. One that is being
// recorded already is a conflict: its files would be the same.
func (h *Handler) recordStart(_ *http.Request, body request) (any, error) {
	if err := body.known("mediaSessionId", "config"); err != nil {
		return nil, err
	}
	o, err := recordOptions(body)
	if err != nil {
		return nil, err
	}
	s, err := h.one(body)
	if err != nil {
		return nil, err
	}
	h.recordings.begin.Lock()
	defer h.recordings.begin.Unlock()
	if len(h.recordingsOf(s.id)) > 0 {
		return nil, &Error{Status: http.StatusConflict, Message: "the stream is being recorded already"}
	}
	_, err = s.record(o)
	return nil, recordError(err)
}

// recordOptions reads config: fileTemplate and rotation, and format of ours.
func recordOptions(body request) (o record.Options, err error) {
	raw, ok := body["config"]
	if !ok || string(raw) == "null" {
		return o, nil
	}
	var config request
	if json.Unmarshal(raw, &config) != nil {
		return o, badRequest("config must be an object")
	}
	if err := config.known("fileTemplate", "rotation", "format"); err != nil {
		return o, err
	}
	if o.Template, err = config.text("fileTemplate"); err != nil {
		return o, err
	}
	if _, err := record.ParseTemplate(o.Template); err != nil {
		return o, badRequest("fileTemplate: %v", err)
	}
	if o.Rotation, err = optional(config, "rotation", record.ParseRotation); err != nil {
		return o, err
	}
	o.Format, err = optional(config, "format", record.ParseFormat)
	return o, err
}

// optional reads a value that may be missing: nil.
func optional[T any](r request, key string, parse func(string) (T, error)) (*T, error) {
	text, err := r.text(key)
	if err != nil || text == "" {
		return nil, err
	}
	v, err := parse(text)
	if err != nil {
		return nil, badRequest("%s: %v", key, err)
	}
	return &v, nil
}

// recordError gives an error of a recording's beginning its status.
func recordError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, trunkcast.ErrEnded), errors.Is(err, media.ErrClosed):
		return notFound("the stream has ended")
	case errors.Is(err, trunkcast.ErrNoRecorder):
		return &Error{Status: http.StatusNotImplemented, Message: err.Error()}
	}
	return err
}

// recordStop ends what records a stream, also if its trunk wants it recorded.
func (h *Handler) recordStop(_ *http.Request, body request) (any, error) {
	if err := body.known("mediaSessionId"); err != nil {
		return nil, err
	}
	s, err := h.one(body)
	if err != nil {
		return nil, err
	}
	list := h.recordingsOf(s.id)
	if len(list) == 0 {
		return nil, notFound("the stream %q is not being recorded", s.stream.Name)
	}
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, rec := range list {
		wg.Go(func() { errs[i] = s.stop(rec) })
	}
	wg.Wait()
	return nil, errors.Join(errs...)
}

func (h *Handler) recordFindAll(_ *http.Request, _ request) (any, error) {
	if h.Bridge.Recorder == nil {
		return nil, notFound("no recording")
	}
	var list []Recording
	for _, rec := range h.Bridge.Recorder.Recordings() {
		list = append(list, describeRecording(rec))
	}
	if len(list) == 0 {
		return nil, notFound("no recording")
	}
	return list, nil
}

func describeRecording(rec *record.Recording) Recording {
	info, st := rec.Info(), rec.Stats()
	out := Recording{
		MediaSessionID: mediaSessionID(info), Path: st.Path, StreamName: info.Stream, CallID: info.CallID,
		Parts: st.Parts, Frames: st.Frames, Lost: st.Lost, Bytes: st.Bytes, Paused: st.Paused, Started: rec.Started().UnixMilli(),
	}
	if st.Path != "" {
		out.FileName = filepath.Base(st.Path)
	}
	return out
}

// recordVOD records a stream that is not a call's.
func (h *Handler) recordVOD(v *vod, o record.Options) (*record.Recording, error) {
	recorder := h.Bridge.Recorder
	if recorder == nil {
		return nil, trunkcast.ErrNoRecorder
	}
	o.NeedKeyFrame = v.stream.NeedKeyFrame
	o.Pictures = func() bool {
		return slices.ContainsFunc(v.stream.Tracks(), func(t *media.Track) bool { return t.Codec.Video() })
	}
	rec, err := recorder.Record(record.Info{Stream: v.LocalStreamName, Session: v.LocalMediaSessionID}, o)
	if err != nil {
		return nil, err
	}
	sub, err := v.stream.Attach(rec, recorder.SinkOptions())
	if sub == nil {
		return nil, errors.Join(err, rec.Close())
	}
	if err != nil {
		h.Logger.Warn("stream recorded without sound", "stream", v.LocalStreamName, "error", err)
	}
	h.recordings.mu.Lock()
	defer h.recordings.mu.Unlock()
	if h.recordings.vods == nil {
		h.recordings.vods = map[*record.Recording]*media.Subscription{}
	}
	h.recordings.vods[rec] = sub
	go h.forgetRecording(rec, sub)
	return rec, nil
}

// forgetRecording takes out a recording that has ended.
func (h *Handler) forgetRecording(rec *record.Recording, sub *media.Subscription) {
	<-sub.Done()
	h.recordings.mu.Lock()
	defer h.recordings.mu.Unlock()
	delete(h.recordings.vods, rec)
}

func (h *Handler) stopVODRecording(rec *record.Recording) error {
	h.recordings.mu.Lock()
	sub := h.recordings.vods[rec]
	h.recordings.mu.Unlock()
	if sub == nil {
		return rec.Close() // has ended
	}
	return sub.Close()
}
