package api

import (
	"time"

	"github.com/trunkcast/trunkcast"
)

// Quality is how a call comes in; see [trunkcast.Quality].
type Quality struct {
	RoundTrip float64 `json:"roundTripMs,omitempty"` // left away while unknown
	Jitter    float64 `json:"jitterMs"`
	Delay     float64 `json:"bufferMs"`  // of the jitter buffer
	LossAudio float64 `json:"lossAudio"` // 0 to 1
	LossVideo float64 `json:"lossVideo"`
	Concealed float64 `json:"concealedMs"`
	Freezes   uint64  `json:"freezes"`
	Frozen    float64 `json:"frozenMs"`
	// KeyRequests is how often the caller was asked for a key frame.
	KeyRequests uint64 `json:"keyFrameRequests"`
	// Offset is how much later than its picture the sound is.
	Offset *float64 `json:"audioLateMs,omitempty"`
	// Reported tells that the caller's sender reports put the two together.
	Reported bool    `json:"reported"`
	MOS      float64 `json:"mos,omitempty"` // left away without sound
	// VideoLimit is the bit rate that the caller was told, in bit/s.
	VideoLimit int `json:"videoLimit,omitempty"`
}

func qualityOf(st trunkcast.Stats) *Quality {
	q := st.Quality()
	out := &Quality{
		RoundTrip: ms(q.RTT), Jitter: ms(q.Jitter), Delay: ms(q.Delay), LossAudio: q.LossAudio, LossVideo: q.LossVideo,
		Concealed: ms(q.Concealed), Freezes: q.Freezes, Frozen: ms(q.Frozen), KeyRequests: q.KeyRequests,
		Reported: q.Sync.Reported, MOS: q.MOS, VideoLimit: st.Media.VideoLimit,
	}
	if q.Sync.Known {
		offset := ms(q.Sync.Offset)
		out.Offset = &offset
	}
	return out
}

// ms is d in milliseconds, to a tenth.
func ms(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond/10)) / float64(time.Millisecond)
}
