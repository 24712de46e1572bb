package inject

import (
	"errors"
	"fmt"
)

var (
	// ErrNotMedia tells that a file is of no form that is read here.
	ErrNotMedia = errors.New("inject: not a media file of a known form")
	// ErrBounds tells that something in a file is larger than the file or
	// than what is accepted of any: the file is damaged, cut short or made to
	// do harm.
	ErrBounds = errors.New("inject: file out of bounds")
	// ErrUnsupportedForm tells that a file is of a known form and uses a part
	// of it that is not supported.
	ErrUnsupportedForm = errors.New("inject: form not supported")
	// ErrNotSeekable tells that a source can only be played from its start, as
	// live streams are.
	ErrNotSeekable = errors.New("inject: source cannot be sought in")
	// ErrNoSource tells that nothing opens a URL: its scheme is unknown, or
	// there is no such file.
	ErrNoSource = errors.New("inject: no such source")
	// ErrForbidden tells that a URL points where none may point.
	ErrForbidden = errors.New("inject: the address is not allowed")
)

// ErrUnsupportedCodec tells that a track of a file is in a codec that is not
// carried. See FileOptions.SkipUnsupported.
type ErrUnsupportedCodec struct {
	// Codec is its name, "HE-AAC" for example, or its four-character code.
	Codec string
	// Reason tells more, if there is more.
	Reason string
}

func (e *ErrUnsupportedCodec) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("inject: codec %s not supported: %s", e.Codec, e.Reason)
	}
	return fmt.Sprintf("inject: codec %s not supported", e.Codec)
}

func boundsError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBounds, fmt.Sprintf(format, args...))
}

func formError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupportedForm, fmt.Sprintf(format, args...))
}
