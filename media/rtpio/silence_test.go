package rtpio

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestSoundAfterSilence has sound that comes 200 ms after its time, as from a
// transcoder, right after a packet of silence: it keeps its time.
func TestSoundAfterSilence(t *testing.T) {
	send := sender{format: &sdp.Format{Codec: media.PCMA, ClockRate: 8000}}
	const now, late = 10 * time.Second, 200 * time.Millisecond
	send.audioTimestamp(now-silenceLag, 160)
	want := send.timestamp(now - late)
	if got, _ := send.audioTimestamp(now-late, 160); got != want {
		t.Errorf("sound of RTP time %d was sent as of %d", want, got)
	}
}

// TestSilenceAfterSound holds that the first silence after sound ends before
// anything that comes next: it has a time of its own.
func TestSilenceAfterSound(t *testing.T) {
	send := sender{format: &sdp.Format{Codec: media.PCMA, ClockRate: 8000}}
	const now = 10 * time.Second
	send.audioTimestamp(now, 160)
	if ts, spurt := send.audioTimestamp(now+silenceAfter-silenceLag, 160); !spurt || ts != send.timestamp(now+silenceAfter-silenceLag) {
		t.Errorf("silence is put behind the sound, at %d", ts)
	}
}
