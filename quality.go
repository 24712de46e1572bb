package trunkcast

import (
	"math"
	"time"

	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// Quality sums up how a call comes in. The figures are those of the whole
// call, but for RTT, Jitter, Delay and the offset, which are those of now.
type Quality struct {
	// RTT is the round-trip time to the caller, 0 if it is not known.
	RTT time.Duration
	// Jitter is the interarrival jitter of the sound, Delay what the jitter
	// buffer adds.
	Jitter, Delay time.Duration
	// LossAudio and LossVideo are the shares of packets that did not come in
	// time, 0 to 1.
	LossAudio, LossVideo float64
	// Concealed is the sound that was made up for what was lost.
	Concealed time.Duration
	// Freezes counts how often the picture stood still, for Frozen together.
	Freezes uint64
	Frozen  time.Duration
	// KeyRequests is how often the caller was asked for a key frame.
	KeyRequests uint64
	// Sync tells how far sound and picture are apart.
	Sync rtpio.Sync
	// MOS estimates what a listener would say of the sound, 1 (bad) to 4.5,
	// by ITU-T G.107; 0 while there is none. See [EstimateMOS].
	MOS float64
}

// Quality sums up st.
func (st Stats) Quality() Quality {
	q := Quality{RTT: st.Media.RTT, Sync: st.Media.Sync}
	heard := false
	var audio, video packetCount
	for _, l := range st.Media.Lines {
		r := l.Received
		switch l.Kind {
		case sdp.Audio:
			heard = heard || r.Packets > 0
			q.Jitter, q.Delay = max(q.Jitter, r.Jitter), max(q.Delay, r.Delay)
			q.Concealed += r.Concealed
			audio.add(r)
		case sdp.Video:
			q.Freezes += r.Freezes
			q.Frozen += r.Frozen
			q.KeyRequests += r.KeyRequests
			video.add(r)
		}
	}
	q.LossAudio, q.LossVideo = audio.loss(), video.loss()
	if heard {
		q.MOS = EstimateMOS(q.RTT/2+q.Delay+packetTime, q.LossAudio)
	}
	return q
}

// packetCount is of packets that should have come and of those that did not
// in time.
type packetCount struct{ expected, missing int64 }

func (c *packetCount) add(r rtpio.ReceiveStats) {
	again := int64(r.Duplicate)
	missing := max(r.Lost+again, 0) // RFC 3550 lets a duplicate make up for a loss
	c.expected += int64(r.Packets) - again + missing
	c.missing += missing + int64(r.Late)
}

func (c *packetCount) loss() float64 {
	if c.expected <= 0 {
		return 0
	}
	return min(float64(c.missing)/float64(c.expected), 1)
}

const (
	// packetTime is what most callers put into a packet of sound.
	packetTime = 20 * time.Millisecond
	// bestR is the transmission rating of a line without delay and loss, by
	// the default values of ITU-T G.107 table 3.
	bestR = 93.2
	// robustness is the factor Bpl of ITU-T G.113 appendix I for G.711 with
	// concealment, taken for the other codecs too.
	robustness = 25.1
)

// EstimateMOS estimates the mean opinion score of a conversation, 1 to 4.5,
// by the E-model of ITU-T G.107 with its default values: delay is from mouth
// to ear, loss the share of packets lost at random, 0 to 1, that are
// concealed. It knows nothing of the caller's microphone, and of wide-band
// codecs only that they are no worse than G.711.
func EstimateMOS(delay time.Duration, loss float64) float64 {
	percent := 100 * min(max(loss, 0), 1)
	r := bestR - delayImpairment(delay) - 95*percent/(percent+robustness)
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6) // ITU-T G.107 annex B
}

// delayImpairment is Idd of ITU-T G.107 section 7.4: what a delay costs where
// there is no echo.
func delayImpairment(d time.Duration) float64 {
	if d <= 100*time.Millisecond {
		return 0
	}
	x := math.Log2(d.Seconds() / 0.1)
	return 25 * (math.Pow(1+math.Pow(x, 6), 1./6) - 3*math.Pow(1+math.Pow(x/3, 6), 1./6) + 2)
}
