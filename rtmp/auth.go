package rtmp

import (
	"crypto/md5" //nolint:gosec // what the scheme asks for
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// adobeAuth is the login of Adobe's servers ("authmod=adobe"), done by
// connecting up to three times: without a name, with the name, which the
// server answers with a salt and a challenge, and with the response.
type adobeAuth struct {
	step  int
	added string
}

// query is appended to application and tcUrl.
func (a *adobeAuth) query() string { return a.added }

// next takes the description of a refused connect and tells whether to
// connect again.
func (a *adobeAuth) next(t *target, description string) (again bool, err error) {
	if !strings.Contains(description, "authmod=") {
		return false, nil
	}
	if !strings.Contains(description, "authmod=adobe") {
		return false, errors.Join(ErrAuth, errors.New("rtmp: the server asks for another scheme than adobe"))
	}
	if t.user == "" {
		return false, errors.Join(ErrAuth, errors.New("rtmp: the server asks for a user name and a password in the URL"))
	}
	switch {
	case a.step == 0 && strings.Contains(description, "code=403 need auth"):
		a.added = "?authmod=adobe&user=" + t.user
	case a.step == 1 && strings.Contains(description, "reason=needauth"):
		v := descriptionValues(description)
		if v["salt"] == "" || v["challenge"] == "" && v["opaque"] == "" {
			return false, ErrAuth
		}
		var nonce [8]byte
		if _, err := rand.Read(nonce[:]); err != nil {
			return false, err
		}
		challenge := hex.EncodeToString(nonce[:])
		serverPart := v["opaque"]
		if serverPart == "" {
			serverPart = v["challenge"]
		}
		a.added = "?authmod=adobe&user=" + t.user + "&challenge=" + challenge +
			"&response=" + md5Base64(md5Base64(t.user+v["salt"]+t.password)+serverPart+challenge)
		if v["opaque"] != "" {
			a.added += "&opaque=" + v["opaque"]
		}
	default:
		return false, ErrAuth
	}
	a.step++
	return true, nil
}

func md5Base64(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // what the scheme asks for
	return base64.StdEncoding.EncodeToString(sum[:])
}

// descriptionValues reads the pairs after the "?" of a description. They are
// not URL-encoded.
func descriptionValues(s string) map[string]string {
	_, s, _ = strings.Cut(s, "?")
	v := map[string]string{}
	for len(s) > 0 && len(v) < 16 {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		key, value, _ := strings.Cut(pair, "=")
		v[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return v
}

// isEnd tells whether err is the end of the connection by the other side.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
