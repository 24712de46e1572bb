package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
)

func TestQuality(t *testing.T) {
	const ms = time.Millisecond
	sound := rtpio.LineStats{Kind: sdp.Audio, Received: rtpio.ReceiveStats{Packets: 90, Lost: 10, Jitter: 3*ms + 54*time.Microsecond,
		Delay: 60 * ms, Concealed: 200 * ms}}
	picture := rtpio.LineStats{Kind: sdp.Video, Received: rtpio.ReceiveStats{Packets: 100, Freezes: 2, Frozen: 1500 * ms, KeyRequests: 3}}
	for want, st := range map[string]rtpio.Stats{
		`{"jitterMs":0,"bufferMs":0,"lossAudio":0,"lossVideo":0,"concealedMs":0,"freezes":0,"frozenMs":0,"keyFrameRequests":0,"reported":false}`: {},
		`{"roundTripMs":50,"jitterMs":3.1,"bufferMs":60,"lossAudio":0.1,"lossVideo":0,"concealedMs":200,"freezes":2,"frozenMs":1500,"keyFrameRequests":3,` +
			`"audioLateMs":-12.5,"reported":true,"videoLimit":800000}`: {Lines: []rtpio.LineStats{sound, picture}, RTT: 50 * ms,
			Sync: rtpio.Sync{Known: true, Offset: -12500 * time.Microsecond, Reported: true}, VideoLimit: 800_000},
	} {
		q := qualityOf(trunkcast.Stats{Media: st})
		if heard := len(st.Lines) > 0; (q.MOS > 1 && q.MOS < 4.5) != heard {
			t.Errorf("MOS %v", q.MOS)
		}
		q.MOS = 0
		if got, err := json.Marshal(q); err != nil || string(got) != want {
			t.Errorf("got %s, %v,\nwant %s", got, err, want)
		}
	}
}
