package rtpio

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// audioTicks is the length of an audio frame in ticks of its RTP clock.
func audioTicks(codec media.Codec, frame []byte) int {
	switch codec {
	case media.Opus:
		return int(opusDuration(frame) * opusClock / time.Second)
	case media.PCMA, media.PCMU, media.G722:
		// A byte is a sample; in G.722 it is two, on a clock that says half
		// the rate (RFC 3551 section 4.5.2).
		return len(frame)
	default:
		return 0
	}
}

const opusClock = 48000

// opusDuration is the length of an Opus packet by its first bytes (RFC 6716
// section 3.1), 0 if they make no sense.
func opusDuration(b []byte) time.Duration {
	if len(b) == 0 {
		return 0
	}
	var one time.Duration
	switch config := b[0] >> 3; {
	case config < 12: // SILK
		one = [4]time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid
		one = [2]time.Duration{10, 20}[config&1] * time.Millisecond
	default: // CELT
		one = 2500 * time.Microsecond << (config & 3)
	}
	frames := 2
	switch b[0] & 3 {
	case 0:
		frames = 1
	case 3:
		if len(b) < 2 {
			return 0
		}
		frames = int(b[1] & 0x3f)
	}
	if d := one * time.Duration(frames); d <= 120*time.Millisecond {
		return d
	}
	return 0
}

// silence is a frame of 20 ms without sound, nil for codecs that we do not
// make one for.
func silence(codec media.Codec) []byte {
	switch codec {
	case media.PCMU:
		return silencePCMU[:]
	case media.PCMA:
		return silencePCMA[:]
	case media.G722:
		return silenceG722[:]
	case media.Opus:
		return silenceOpus[:]
	default:
		return nil
	}
}

const silenceLength = 20 * time.Millisecond

// Arrays, filled once and only read.
var (
	silencePCMU = repeat(0xff)
	silencePCMA = repeat(0xd5)
	silenceG722 = repeat(0xfe)              // decodes to less than 4 of 32768; what encoders make of 0 drifts when it is repeated
	silenceOpus = [3]byte{0xf8, 0xff, 0xfe} // CELT, full band, 20 ms, mono
)

func repeat(b byte) (frame [160]byte) {
	for i := range frame {
		frame[i] = b
	}
	return frame
}
