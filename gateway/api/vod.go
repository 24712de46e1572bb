package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// VOD is a source that runs as a stream, as the product's clients know it.
type VOD struct {
	LocalMediaSessionID string `json:"localMediaSessionId"`
	LocalStreamName     string `json:"localStreamName"`
	URI                 string `json:"uri"`
	Status              string `json:"status"`
	HasAudio            bool   `json:"hasAudio"`
	HasVideo            bool   `json:"hasVideo"`
	Record              bool   `json:"record"`
}

// maxVODs bounds the sources that run at once.
const maxVODs = 1000

// vods are the sources that run as streams.
type vods struct {
	mu     sync.Mutex
	closed bool
	list   []*vod
}

// vod is one of them: injector -> stream -> whoever asks for it by its name.
type vod struct {
	VOD
	stream   *media.Stream
	injector *inject.Injector
	began    time.Time
	done     chan struct{} // closed when it is out of the list
}

func (h *Handler) vodRoutes() {
	h.handle("/vod/startup", h.vodStart)
	h.handle("/vod/find", h.vodFind)
	h.handle("/vod/find_all", h.vodFindAll)
	h.handle("/vod/terminate", h.vodStop)
}

// vodStart lets a file, or whatever a URI names, run as a stream with a name
// of its own. Beside the product's keys it knows loop.
func (h *Handler) vodStart(r *http.Request, body request) (any, error) {
	if err := body.known("uri", "localStreamName", "loop"); err != nil {
		return nil, err
	}
	uri, err := body.needed("uri")
	if err != nil {
		return nil, err
	}
	name, err := body.needed("localStreamName")
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(name, ":?#") || strings.Trim(name, "/") != name {
		return nil, badRequest("localStreamName %q is not possible", name)
	}
	loop, err := body.flag("loop", false)
	if err != nil {
		return nil, err
	}
	source, err := h.Bridge.Open(r.Context(), uri)
	if err != nil {
		return nil, injectError(err)
	}
	return nil, h.runVOD(source, uri, name, loop)
}

// runVOD starts a stream, or closes its source.
func (h *Handler) runVOD(source media.Source, uri, name string, loop bool) error {
	_, file := source.(interface{ SetLoop(on bool) })
	v := &vod{VOD: VOD{LocalMediaSessionID: rand.Text(), LocalStreamName: name, URI: uri, Status: "PLAYING"}, began: time.Now(), done: make(chan struct{})}
	v.stream = &media.Stream{Name: name, Codecs: h.Bridge.Codecs, Logger: h.Logger}
	v.injector = &inject.Injector{Source: source, Sink: v.stream, Live: !file, Loop: loop, Logger: h.Logger}
	v.stream.NeedKeyFrame = v.injector.RequestKeyFrame
	if err := h.addVOD(v); err != nil {
		return errors.Join(err, source.Close())
	}
	h.publishVOD(v)
	if err := v.injector.Start(context.Background()); err != nil {
		h.dropVOD(v)
		return injectError(err)
	}
	h.Logger.Info("stream started", "stream", name)
	go func() {
		<-v.injector.Done()
		h.Logger.Info("stream ended", "stream", name, "reason", v.injector.Err())
		h.dropVOD(v)
	}()
	return nil
}

// publishVOD gives a stream to players. Who has that name there keeps it.
func (h *Handler) publishVOD(v *vod) {
	if h.Publish == nil {
		return
	}
	sink, err := h.Publish(v.LocalStreamName, v.stream.NeedKeyFrame)
	if err == nil {
		_, err = v.stream.Attach(sink, media.SinkOptions{Name: "server", Audio: []media.Codec{media.AAC}})
	}
	if err != nil {
		h.Logger.Warn("stream not published in full", "stream", v.LocalStreamName, "error", err)
	}
}

// addVOD gives a stream its name.
func (h *Handler) addVOD(v *vod) error {
	h.vods.mu.Lock()
	defer h.vods.mu.Unlock()
	switch {
	case h.vods.closed:
		return &Error{Status: http.StatusServiceUnavailable, Message: "the gateway is shutting down"}
	case len(h.vods.list) >= maxVODs:
		return &Error{Status: http.StatusServiceUnavailable, Message: "too many streams"}
	}
	if err := h.Bridge.Streams.Add(v.LocalStreamName, v.stream); err != nil {
		return &Error{Status: http.StatusConflict, Message: "stream " + v.LocalStreamName + ": " + err.Error()}
	}
	h.vods.list = append(h.vods.list, v)
	return nil
}

// dropVOD ends a stream whose source has ended.
func (h *Handler) dropVOD(v *vod) {
	_ = v.injector.Close()
	_ = v.stream.CloseWrite()
	h.vods.mu.Lock()
	h.vods.list = slices.DeleteFunc(h.vods.list, func(x *vod) bool { return x == v })
	h.vods.mu.Unlock()
	h.Bridge.Streams.Remove(v.LocalStreamName, v.stream)
	close(v.done)
}

// describe is a stream as it is now.
func (v *vod) describe() VOD {
	out := v.VOD
	for _, t := range v.stream.Tracks() {
		out.HasAudio = out.HasAudio || t.Codec.Audio()
		out.HasVideo = out.HasVideo || t.Codec.Video()
	}
	return out
}

// matching are the streams that a filter names; empty values match all.
func (h *Handler) matching(body request) (list []*vod, empty bool, err error) {
	keys := []string{"localMediaSessionId", "localStreamName", "uri"}
	if err := body.known(keys...); err != nil {
		return nil, false, err
	}
	want := make([]string, len(keys))
	empty = true
	for i, key := range keys {
		if want[i], err = body.text(key); err != nil {
			return nil, false, err
		}
		empty = empty && want[i] == ""
	}
	h.vods.mu.Lock()
	defer h.vods.mu.Unlock()
	for _, v := range h.vods.list {
		ok := true
		for i, have := range []string{v.LocalMediaSessionID, v.LocalStreamName, v.URI} {
			ok = ok && (want[i] == "" || want[i] == have)
		}
		if ok {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil, empty, notFound("no such stream")
	}
	return list, empty, nil
}

func (h *Handler) vodFind(_ *http.Request, body request) (any, error) {
	list, _, err := h.matching(body)
	if err != nil {
		return nil, err
	}
	var out []VOD
	for _, v := range list {
		d := v.describe()
		d.Record = len(h.recordingsOf(d.LocalMediaSessionID)) > 0
		out = append(out, d)
	}
	return out, nil
}

func (h *Handler) vodFindAll(r *http.Request, _ request) (any, error) { return h.vodFind(r, nil) }

// vodStop ends the streams that a filter names, which must name something.
func (h *Handler) vodStop(_ *http.Request, body request) (any, error) {
	list, empty, err := h.matching(body)
	if empty {
		return nil, badRequest("localMediaSessionId, localStreamName or uri is needed")
	}
	if err != nil {
		return nil, err
	}
	stopVODs(list)
	return nil, nil
}

func stopVODs(list []*vod) {
	for _, v := range list {
		v.injector.Stop()
	}
	for _, v := range list {
		<-v.done
	}
}

// Close ends the streams that were started by requests, and lets no new ones
// in.
func (h *Handler) Close() {
	h.vods.mu.Lock()
	h.vods.closed = true
	list := slices.Clone(h.vods.list)
	h.vods.mu.Unlock()
	stopVODs(list)
}
