package rtmp

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/media"
)

// ErrProtocol is wrapped by errors about bytes that are not RTMP.
var ErrProtocol = errors.New("rtmp: protocol error")

// ErrAuth is wrapped by a refusal of the user name or the password, and by
// one for want of them.
var ErrAuth = errors.New("rtmp: authentication failed")

// ErrServerClosed is returned by [Server.Serve] after Close.
var ErrServerClosed = errors.New("rtmp: server closed")

// ErrStreamBusy tells that a stream of that name is being published already.
var ErrStreamBusy = errors.New("rtmp: stream is published already")

// ErrNoStream tells that nobody publishes a stream of that name.
var ErrNoStream = errors.New("rtmp: no such stream")

// protocolError makes an error that wraps ErrProtocol.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// A RefusedError is the answer "no" of a server.
type RefusedError struct {
	// Stage is the command that was refused: connect, createStream, publish
	// or play.
	Stage string
	// Code is the code of the answer, for example NetStream.Publish.BadName;
	// empty when the server said no by closing the connection.
	Code string
	// Description is the server's text, without the secrets of the URL.
	Description string
	// Err is ErrAuth when the credentials were the reason, else nil.
	Err error
}

func (e *RefusedError) Error() string {
	s := "rtmp: server refused " + e.Stage
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	return s
}

// Unwrap returns e.Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// An UnsupportedError tells that FLV has no place for a codec.
type UnsupportedError struct{ Codec media.Codec }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("rtmp: %s cannot be carried over RTMP "+
		"(H264, H265, AAC, OPUS, PCMA and PCMU can): let the media.Stream transcode it by SinkOptions.Audio", e.Codec)
}
