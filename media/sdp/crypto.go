package sdp

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// CryptoSuite names an SRTP crypto suite (RFC 4568 section 6.2, RFC 7714
// section 14).
type CryptoSuite string

// The suites that are accepted. Our own offers hold the first.
const (
	AESCM128SHA80 CryptoSuite = "AES_CM_128_HMAC_SHA1_80"
	AESCM128SHA32 CryptoSuite = "AES_CM_128_HMAC_SHA1_32"
	AEADAES128GCM CryptoSuite = "AEAD_AES_128_GCM"
	AEADAES256GCM CryptoSuite = "AEAD_AES_256_GCM"
)

// KeyLen is the length of master key and master salt in bytes, 0 for a suite
// that is not accepted.
func (s CryptoSuite) KeyLen() (key, salt int) {
	switch s {
	case AESCM128SHA80, AESCM128SHA32:
		return 16, 14
	case AEADAES128GCM:
		return 16, 12
	case AEADAES256GCM:
		return 32, 12
	default:
		return 0, 0
	}
}

// Crypto is one a=crypto line (RFC 4568).
type Crypto struct {
	Tag   int
	Suite CryptoSuite
	// Key is the master key, then the master salt, of the one who wrote the
	// line: for the packets that it sends.
	Key []byte
	// MKI is the master key identifier in the writer's packets, nil if none.
	MKI []byte
}

// LogValue keeps the key out of logs.
func (c *Crypto) LogValue() slog.Value {
	if c == nil {
		return slog.StringValue("none")
	}
	return slog.GroupValue(slog.Int("tag", c.Tag), slog.String("suite", string(c.Suite)))
}

// String is the suite, without the key.
func (c *Crypto) String() string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%d %s", c.Tag, c.Suite)
}

// parseCrypto reads the value of an a=crypto line; ok is false for lines that
// cannot be used: other suites, session parameters that change the protection
// (RFC 4568 section 6.3), keys of a wrong length.
func parseCrypto(value string) (c *Crypto, ok bool) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return nil, false
	}
	tag, err := strconv.Atoi(f[0])
	if err != nil || tag < 0 || tag > 999999999 {
		return nil, false
	}
	for _, param := range f[3:] {
		// WSH is a hint about the replay window; "-" parameters may be ignored.
		if !strings.HasPrefix(param, "WSH=") && !strings.HasPrefix(param, "-") {
			return nil, false
		}
	}
	c = &Crypto{Tag: tag, Suite: CryptoSuite(strings.ToUpper(f[1]))}
	// Several keys (";") need an MKI each; the first one is used at the start.
	first, _, several := strings.Cut(f[2], ";")
	inline, found := strings.CutPrefix(first, "inline:")
	if !found || several {
		return nil, false
	}
	parts := strings.Split(inline, "|")
	if c.Key, err = decodeKey(parts[0]); err != nil {
		return nil, false
	}
	if key, salt := c.Suite.KeyLen(); key == 0 || len(c.Key) != key+salt {
		return nil, false
	}
	for _, p := range parts[1:] {
		mki, length, isMKI := strings.Cut(p, ":")
		if !isMKI {
			continue // lifetime: at least 2^48 packets would pass before it matters
		}
		if c.MKI, ok = parseMKI(mki, length); !ok {
			return nil, false
		}
	}
	return c, true
}

func decodeKey(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

func parseMKI(value, length string) ([]byte, bool) {
	v, err := strconv.ParseUint(value, 10, 64)
	n, err2 := strconv.Atoi(length)
	if err != nil || err2 != nil || n < 1 || n > 128 {
		return nil, false
	}
	mki := make([]byte, n)
	for i := n - 1; i >= 0 && v > 0; i-- {
		mki[i] = byte(v)
		v >>= 8
	}
	return mki, v == 0
}

// cryptoLine is the value of our a=crypto line.
func cryptoLine(tag int, suite CryptoSuite, key []byte) string {
	return fmt.Sprintf("%d %s inline:%s", tag, suite, base64.StdEncoding.EncodeToString(key))
}
