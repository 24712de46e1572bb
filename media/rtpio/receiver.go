package rtpio

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// receiver turns RTP packets into frames.
type receiver interface {
	SetFormats(line int, kind sdp.Kind, formats *sdp.PayloadMap, now time.Time)
	Packet(line int, p *rtp.Packet, now time.Time)
	SenderReport(line int, ssrc uint32, ntp uint64, rtp uint32, now time.Time)
	Bye(line int, ssrc uint32, now time.Time)
	SetRTT(line int, d time.Duration)
	Next() (at time.Time, ok bool)
	Pop(now time.Time, emit func(*media.Frame)) (next time.Time)
	Flush(emit func(*media.Frame))
	Nacks(line int, now time.Time) []uint16
	KeyFrameWanted(line int) bool
	SSRC(line int) (uint32, bool)
	ReceptionReports(line int, now time.Time) []rtcp.ReceptionReport
}

func (s *Session) newReceiver() receiver { return nil }
