package rtpio

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/trunkcast/trunkcast/media"
)

// TestSoundBothWaysAfterHold: sequence numbers of both sides wrap, the call is
// held with SRTP and taken up again, by a phone that comes back from another
// port with a new SSRC. The roll-over counter is not lost by the re-INVITEs, and
// sound goes both ways again: neither only there nor only back.
func TestSoundBothWaysAfterHold(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	own := bytes.Repeat([]byte{7}, 30)
	line := "m=audio AUDIO RTP/SAVP 0\r\na=rtcp:AUDIOCTL\r\na=" + sdpCrypto(own)
	var out output
	s := &Session{Output: &out, NoSilence: true}
	key := answerKey(t, p.call(s, line))
	l := p.lines[0]
	l.secure(t, own, key)
	l.pt = 0
	s.mu.Lock()
	s.lines[0].send.seq = 65530
	s.mu.Unlock()
	track := &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	ts, pts := uint32(0), 0
	talk := func() {
		t.Helper()
		heard, told := len(out.of(false)), len(l.received())
		for range 60 { // the phone's numbers wrap after 36
			l.send(ts, false, bytes.Repeat([]byte{0x55}, 160))
			ts += 160
		}
		for range 20 { // ours after 6
			f := &media.Frame{Track: track, PTS: time.Duration(pts) * 20 * time.Millisecond, DTS: time.Duration(pts) * 20 * time.Millisecond, Data: [][]byte{bytes.Repeat([]byte{0x12}, 160)}}
			pts++
			if err := s.WriteFrame(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the phone's sound", func() bool { return len(out.of(false)) >= heard+50 })
		eventually(t, "our sound", func() bool { return len(l.received()) >= told+10 })
	}
	talk()
	p.reoffer(s, line, "a=inactive")
	if !s.Held() {
		t.Error("not held")
	}
	if again := p.reoffer(s, line, "a=sendrecv"); !bytes.Equal(answerKey(t, again), key) {
		t.Error("our key changed with the re-INVITE")
	}
	talk()

	// Held again; the phone comes back elsewhere, with a number far on.
	p.reoffer(s, line, "a=sendonly")
	q := newPhone(t, 1)
	q.version = p.version
	moved := q.lines[0]
	moved.secure(t, own, key)
	roll(t, moved, key, l)
	moved.pt, moved.ssrc = 0, 77
	q.connect(q.reoffer(s, line, "a=sendrecv"))
	l = moved
	talk()
	if st := s.Stats(); st.Unauthentic > 0 {
		t.Errorf("%d packets were not authentic", st.Unauthentic)
	}
}

// roll tells a phone line how often our numbers have wrapped, as a phone that
// moves its socket knows.
func roll(t *testing.T, l *phoneLine, theirs []byte, before *phoneLine) {
	t.Helper()
	c, err := srtp.CreateContext(theirs[:16], theirs[16:], srtp.ProtectionProfileAes128CmHmacSha1_80)
	if err != nil {
		t.Fatal(err)
	}
	c.SetROC(before.received()[0].SSRC, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decrypt = func(b []byte) ([]byte, error) { return c.DecryptRTP(nil, b, nil) }
}
