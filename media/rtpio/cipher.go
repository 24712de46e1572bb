package rtpio

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// replayWindow is in packets: more than a jitter buffer's worth of video.
const replayWindow = 1024

// cipher is the SRTP context of one key, for one direction of one line. It
// lives as long as the key is used: the roll-over counter of a long call must
// not start again with a re-INVITE (RFC 3711 section 3.3.1).
type cipher struct {
	suite sdp.CryptoSuite
	key   []byte
	mki   []byte

	mu  sync.Mutex
	ctx *srtp.Context
}

func srtpProfile(suite sdp.CryptoSuite) (profile srtp.ProtectionProfile, ok bool) {
	switch suite {
	case sdp.AESCM128SHA80:
		return srtp.ProtectionProfileAes128CmHmacSha1_80, true
	case sdp.AESCM128SHA32:
		return srtp.ProtectionProfileAes128CmHmacSha1_32, true
	case sdp.AEADAES128GCM:
		return srtp.ProtectionProfileAeadAes128Gcm, true
	case sdp.AEADAES256GCM:
		return srtp.ProtectionProfileAeadAes256Gcm, true
	default:
		return 0, false
	}
}

func newCipher(suite sdp.CryptoSuite, key, mki []byte) (*cipher, error) {
	profile, ok := srtpProfile(suite)
	keyLen, saltLen := suite.KeyLen()
	if !ok || len(key) != keyLen+saltLen {
		return nil, fmt.Errorf("rtpio: SRTP suite %s with a key of %d bytes", suite, len(key))
	}
	options := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(64)}
	if len(mki) > 0 {
		options = append(options, srtp.MasterKeyIndicator(mki))
	}
	ctx, err := srtp.CreateContext(key[:keyLen], key[keyLen:], profile, options...)
	if err != nil {
		return nil, fmt.Errorf("rtpio: SRTP: %w", err)
	}
	return &cipher{suite: suite, key: key, mki: mki, ctx: ctx}, nil
}

// same tells whether c is the cipher of that key; a nil c is that of none.
func (c *cipher) same(suite sdp.CryptoSuite, key, mki []byte) bool {
	return c != nil && c.suite == suite && bytes.Equal(c.key, key) && bytes.Equal(c.mki, mki)
}

func newKey(suite sdp.CryptoSuite) []byte {
	key, salt := suite.KeyLen()
	b := make([]byte, key+salt)
	_, _ = rand.Read(b) // crypto/rand never fails
	return b
}

// The four operations work in place where the buffer's capacity allows.

func (c *cipher) decryptRTP(b []byte, h *rtp.Header) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx.DecryptRTP(b, b, h)
}

func (c *cipher) encryptRTP(b []byte, h *rtp.Header) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx.EncryptRTP(b, b, h)
}

func (c *cipher) decryptRTCP(b []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx.DecryptRTCP(nil, b, nil)
}

func (c *cipher) encryptRTCP(b []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx.EncryptRTCP(nil, b, nil)
}
