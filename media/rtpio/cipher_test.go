package rtpio

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media/sdp"
)

var suites = []sdp.CryptoSuite{sdp.AESCM128SHA80, sdp.AESCM128SHA32, sdp.AEADAES128GCM, sdp.AEADAES256GCM}

func cipherPair(t testing.TB, suite sdp.CryptoSuite, mki []byte) (a, b *cipher) {
	t.Helper()
	key := newKey(suite)
	a, err := newCipher(suite, key, mki)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = newCipher(suite, key, mki); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestCipher(t *testing.T) {
	t.Parallel()
	for _, suite := range suites {
		for _, mki := range [][]byte{nil, {0, 1}} {
			out, in := cipherPair(t, suite, mki)
			plain, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 9, SSRC: 5}, Payload: []byte("hello, caller")}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			buf := append(make([]byte, 0, maxDatagram), plain...)
			var h rtp.Header
			sealed, err := out.encryptRTP(buf, &h)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed, []byte("hello")) || len(sealed)-len(plain) > srtpOverhead+len(mki) {
				t.Errorf("%s: %d bytes, then %d", suite, len(plain), len(sealed))
			}
			wire := bytes.Clone(sealed)
			got, err := in.decryptRTP(sealed, &h)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s: %q, %v", suite, got, err)
			}
			if _, err := in.decryptRTP(bytes.Clone(wire), &h); err == nil {
				t.Errorf("%s: a replay is taken", suite)
			}
			wire[14] ^= 1
			other, _ := newCipher(suite, in.key, mki)
			if _, err := other.decryptRTP(wire, &h); err == nil {
				t.Errorf("%s: a changed packet is taken", suite)
			}
			report, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 5}})
			if err != nil {
				t.Fatal(err)
			}
			sealed, err = out.encryptRTCP(bytes.Clone(report))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := in.decryptRTCP(sealed); err != nil || !bytes.Equal(got, report) {
				t.Errorf("%s: report %x, %v", suite, got, err)
			}
		}
	}
	if _, err := newCipher(sdp.AESCM128SHA80, make([]byte, 29), nil); err == nil {
		t.Error("a short key is taken")
	}
	if _, err := newCipher("F8_128_HMAC_SHA1_80", make([]byte, 30), nil); err == nil {
		t.Error("an unknown suite is taken")
	}
	c, _ := cipherPair(t, sdp.AESCM128SHA80, nil)
	if !c.same(c.suite, bytes.Clone(c.key), nil) || c.same(c.suite, newKey(c.suite), nil) || (*cipher)(nil).same(c.suite, c.key, nil) {
		t.Error("same")
	}
}

func benchSRTP(b *testing.B, suite string) {
	out, in := cipherPair(b, sdp.CryptoSuite(suite), nil)
	buf := make([]byte, 172, maxDatagram)
	buf[0] = 0x80
	var h rtp.Header
	var seq uint16
	b.ReportAllocs()
	for b.Loop() {
		seq++
		buf[2], buf[3] = byte(seq>>8), byte(seq)
		sealed, err := out.encryptRTP(buf[:172], &h)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.decryptRTP(sealed, &h); err != nil {
			b.Fatal(err)
		}
	}
}
