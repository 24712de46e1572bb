package gateway_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// noticing records calls after a notice.
func noticing(notice string) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Trunks[0].Record = true
		c.Record.Notice = notice
	}
}

// TestRecordNotice has the caller hear all of the notice before the recording
// begins.
func TestRecordNotice(t *testing.T) {
	t.Parallel()
	const length = 1500 * time.Millisecond
	folder := t.TempDir()
	writeTone(t, filepath.Join(folder, "notice.wav"), 440, length)
	r, _ := recording(t, func(c *gateway.Config) {
		noticing("vod://notice.wav")(c)
		c.MediaFolder = folder
	})
	began := time.Now()
	p := r.dial(nil)
	eventually(t, "the first of the notice", func() bool { return p.sounds(began) > 0 })
	s := p.session()
	for s.Injection() != nil {
		if len(s.Recordings()) > 0 && s.Injection() != nil {
			t.Fatal("recorded during the notice")
		}
		time.Sleep(10 * time.Millisecond)
	}
	eventually(t, "the recording", func() bool { return len(s.Recordings()) == 1 })
	if d := s.Recordings()[0].Started().Sub(s.Call().Answered()); d < length*9/10 {
		t.Errorf("recorded after %v", d)
	}
	eventually(t, "all of the notice", func() bool { return p.sounds(began) >= int(length/(20*time.Millisecond))*9/10 })
	if r.has(trunkcast.NoticeFailed) {
		t.Error("notice failed")
	}
}

// TestRecordNoticeFails records a call whose notice is not there.
func TestRecordNoticeFails(t *testing.T) {
	t.Parallel()
	r, _ := recording(t, noticing("vod://none.wav"))
	s, _ := r.callWithMedia("100")
	eventually(t, "frames all the same", func() bool { return len(s.Recordings()) == 1 && s.Recordings()[0].Stats().Frames > 10 })
	if n := r.count(trunkcast.NoticeFailed); n != 1 {
		t.Errorf("the failure was told %d times", n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == trunkcast.NoticeFailed && (!errors.Is(e.Err, inject.ErrNoSource) || e.Session != s) {
			t.Errorf("told %+v", e)
		}
	}
}

// TestRecordNoticeHangup ends the call in the middle of the notice.
func TestRecordNoticeHangup(t *testing.T) {
	t.Parallel()
	r, _ := recording(t, noticing("vod://clip.mp4"))
	began := time.Now()
	p := r.dial(nil)
	eventually(t, "the notice", func() bool { return len(p.pictures(began)) > 5 })
	s := p.session()
	r.must("/call/terminate", p.body(nil))
	eventually(t, "the end of the call", func() bool { return r.has(trunkcast.CallEnded) })
	<-s.Done()
	if r.has(trunkcast.NoticeFailed) || r.has(trunkcast.OutputEnded) || len(r.Bridge.Recorder.Recordings()) > 0 {
		t.Errorf("told of a failure, or recorded")
	}
}

// TestRecordNoticeHeard has a caller who does not take the pictures of the
// notice hear it.
func TestRecordNoticeHeard(t *testing.T) {
	t.Parallel()
	r, _ := recording(t, noticing("vod://clip.mp4"))
	began := time.Now()
	p := r.dial(&sdp.Capabilities{Video: sdp.MediaCapabilities{Codecs: []sdp.Codec{
		{Codec: media.H264, FMTP: "profile-level-id=42E00A;packetization-mode=1"}, // level 1: 176x144
	}}})
	eventually(t, "the sound", func() bool { return p.sounds(began) > 20 })
	if n := len(p.pictures(began)); n > 0 {
		t.Errorf("%d pictures", n)
	}
	if r.has(trunkcast.NoticeFailed) {
		t.Error("notice failed")
	}
}
