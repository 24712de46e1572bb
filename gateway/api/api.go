// Package api is the REST interface of a gateway: the calls of Flashphoner WCS
// 5.2 under /rest-api, for the clients written for it.
//
//	curl -X POST -H 'Content-Type: application/json' -d '{"callId":"..."}' \
//	    http://127.0.0.1:8081/rest-api/call/terminate
//
// Every request is a POST with a JSON object, which may be left away where
// nothing has to be said. Success is 200 with a JSON value or an empty body,
// anything else an [Error].
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
)

// Prefix is the path below which the interface lives.
const Prefix = "/rest-api"

// maxBody bounds a request's body in bytes.
const maxBody = 64 << 10

// Handler serves the interface for the calls of a bridge. It asks for no
// password: listen on loopback, or put a proxy before it. Web pages of other
// hosts are refused: a body must be of the type application/json, and a
// listener on loopback must be asked for by IP address or as localhost.
type Handler struct {
	Bridge *trunkcast.Bridge
	Logger *slog.Logger // nil discards
	// Publish gives the streams of /vod/startup to players under their name,
	// too; nil leaves them to the calls.
	Publish func(name string, needKeyFrame func()) (media.Sink, error)

	mux        *http.ServeMux
	vods       vods
	recordings recordings
}

// New returns a Handler for b.
func New(b *trunkcast.Bridge, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Bridge: b, Logger: log, mux: http.NewServeMux()}
	h.routes()
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) routes() {
	h.handle("/call/find_all", h.callFindAll)
	h.handle("/call/find", h.callFind)
	h.handle("/call/terminate", h.callTerminate)
	h.handle("/call/send_dtmf", h.callSendDTMF)
	h.injectRoutes()
	h.vodRoutes()
	h.streamRoutes()
	h.mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, &Error{Status: http.StatusNotFound, Message: "no such call of the interface"})
	})
}

// operation is one call of the interface: a result, nil for an empty body.
type operation func(r *http.Request, body request) (any, error)

// handle registers an operation.
func (h *Handler) handle(path string, op operation) {
	h.mux.HandleFunc(Prefix+path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			h.fail(w, r, &Error{Status: http.StatusMethodNotAllowed, Message: "use POST"})
			return
		}
		if err := guard(r); err != nil {
			h.fail(w, r, err)
			return
		}
		body, err := readRequest(w, r)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		result, err := op(r, body)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		h.write(w, http.StatusOK, result)
	})
}

// Error is the body of a response that is no success. It may be an error of an
// operation, too.
type Error struct {
	Status    int    `json:"status"`
	Reason    string `json:"error"` // the status in words
	Message   string `json:"message"`
	Path      string `json:"path"`
	Timestamp int64  `json:"timestamp"` // ms since 1970
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Reason, e.Message) }

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	if p := (*Error)(nil); errors.As(err, &p) {
		e = *p
	} else {
		e = Error{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	e.Reason, e.Path, e.Timestamp = http.StatusText(e.Status), r.URL.Path, time.Now().UnixMilli()
	level := slog.LevelInfo
	if e.Status == http.StatusNotFound { // who polls for what is not there yet
		level = slog.LevelDebug
	}
	h.Logger.Log(r.Context(), level, "request refused", "path", e.Path, "status", e.Status, "error", e.Message, "remote_addr", r.RemoteAddr)
	h.write(w, e.Status, e)
}

func (h *Handler) write(w http.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.Logger.Info("response not written", "error", err)
	}
}

func notFound(format string, args ...any) error {
	return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

// readRequest reads the body of a request: nothing, or one JSON object.
func readRequest(w http.ResponseWriter, r *http.Request) (request, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("a body of more than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, badRequest("body: %v", err)
	}
	return parseRequest(data)
}
