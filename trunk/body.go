package trunk

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// maxParts bounds the parts of a multipart body that are looked at.
const maxParts = 16

// errBodyType is for a body that has no session description in it.
var errBodyType = errors.New("trunk: body is neither application/sdp nor a multipart with one")

// sdpOf is the session description in the body of msg: the body itself or the
// first application/sdp part of a multipart one (RFC 5621). It is nil without
// a body, or with one that may be passed over (Content-Disposition with
// handling=optional).
func sdpOf(msg sip.Message) ([]byte, error) {
	body := msg.Body()
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if enc := headerValue(msg, "Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, errBodyType
	}
	value := headerValue(msg, "Content-Type")
	if value == "" {
		if bytes.HasPrefix(body, []byte("v=")) {
			return body, nil
		}
		return nil, errBodyType
	}
	typ, params := mediaType(value)
	switch {
	case typ == "application/sdp":
		return body, nil
	case strings.HasPrefix(typ, "multipart/"):
		return sdpPart(body, params["boundary"])
	case optional(headerValue(msg, "Content-Disposition")):
		return nil, nil
	}
	return nil, errBodyType
}

// mediaType reads a Content-Type; one with broken parameters has still a type.
func mediaType(value string) (string, map[string]string) {
	typ, params, err := mime.ParseMediaType(value)
	if err != nil {
		typ, _, _ = strings.Cut(value, ";")
	}
	return strings.ToLower(strings.TrimSpace(typ)), params
}

func sdpPart(body []byte, boundary string) ([]byte, error) {
	if boundary == "" {
		return nil, errBodyType
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxParts {
		part, err := r.NextRawPart()
		if err != nil {
			break
		}
		if typ, _ := mediaType(part.Header.Get("Content-Type")); typ != "application/sdp" {
			continue
		}
		text, err := io.ReadAll(part) // no longer than the body, which is bounded
		if err != nil && len(text) == 0 {
			break
		}
		return text, nil
	}
	return nil, errBodyType
}

// optional reports whether a Content-Disposition lets a body be passed over
// (RFC 3261 section 20.11).
func optional(value string) bool {
	for p := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "handling") && strings.EqualFold(strings.TrimSpace(v), "optional") {
			return true
		}
	}
	return false
}

// setSDP gives msg a session description as its body.
func setSDP(msg sip.Message, body []byte) {
	typ := sip.ContentTypeHeader("application/sdp")
	msg.AppendHeader(&typ)
	msg.SetBody(body)
}
