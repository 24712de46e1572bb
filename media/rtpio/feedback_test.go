package rtpio

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/media"
)

func TestCallerFeedback(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	var asked atomic.Int32
	s := &Session{OnKeyFrameRequested: func() { asked.Add(1) }}
	p.call(s, audioLine, videoLine)
	l := p.lines[1]
	writeVideo(t, s, &media.Track{Codec: media.H264, Config: [][]byte{testSPS, testPPS}}, 1, 500)
	eventually(t, "a picture", func() bool { return len(l.received()) > 0 })
	ssrc := l.received()[0].SSRC
	sent := func() SendStats { return s.Stats().Lines[1].Sent }

	// A PLI and a FIR at once are one wish for the injector, two requests in
	// the statistics; a FIR of the same number is a repetition.
	fir := &rtcp.FullIntraRequest{SenderSSRC: 7, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: 3}}}
	l.sendControl(&rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: ssrc}) // reduced size
	l.sendControl(&rtcp.ReceiverReport{SSRC: 7}, fir)
	l.sendControl(&rtcp.ReceiverReport{SSRC: 7}, fir)
	l.sendControl(&rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: ssrc + 1}) // somebody else's
	raw := rtcp.RawPacket(tmmb(fmtTMMBR, 7, ssrc, 300_000))
	l.sendControl(&raw)
	eventually(t, "the caller's limit", func() bool { return sent().RemoteLimit > 0 })
	if got := sent(); got.KeyRequests != 2 || got.RemoteLimit != 300_000 {
		t.Errorf("%+v", got)
	}
	if asked.Load() != 1 {
		t.Errorf("OnKeyFrameRequested called %d times", asked.Load())
	}
	eventually(t, "a TMMBN", func() bool {
		for _, r := range controls[*rtcp.RawPacket](l) {
			if h := r.Header(); h.Type == rtcp.TypeTransportSpecificFeedback && h.Count == fmtTMMBN {
				return parseTMMBR(*r, ssrc) == 300_000
			}
		}
		return false
	})
	l.sendControl(&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 7, Bitrate: 200_000, SSRCs: []uint32{ssrc}})
	eventually(t, "REMB", func() bool { return sent().RemoteLimit == 200_000 })

	// The caller's report on our stream: loss, jitter and round trip.
	eventually(t, "a sender report", func() bool { return len(controls[*rtcp.SenderReport](l)) > 0 })
	sr := controls[*rtcp.SenderReport](l)[0]
	l.sendControl(&rtcp.ReceiverReport{SSRC: 7, Reports: []rtcp.ReceptionReport{{
		SSRC: ssrc, FractionLost: 64, TotalLost: 5, Jitter: 900, LastSenderReport: uint32(sr.NTPTime >> 16),
	}}})
	eventually(t, "a round trip", func() bool { return sent().RTT > 0 })
	if got := sent(); got.RemoteLost != 5 || got.RemoteFractionLost != 0.25 || got.RemoteJitter != 10*time.Millisecond || got.RTT > 10*time.Second {
		t.Errorf("%+v", got)
	}

	// XR, APP and types from the future are passed over, together with
	// something that means a lot.
	unknown := rtcp.RawPacket(binary.BigEndian.AppendUint32([]byte{0x80, 210, 0, 1}, 7))
	before := sent().KeyRequests
	l.sendControl(&rtcp.ReceiverReport{SSRC: 7},
		&rtcp.ExtendedReport{SenderSSRC: 7, Reports: []rtcp.ReportBlock{&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 1}}},
		&unknown, &rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: ssrc})
	eventually(t, "the PLI behind them", func() bool { return sent().KeyRequests == before+1 })
}

func TestTellsBitRate(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	s := &Session{MaxVideoBitRate: 800_000}
	p.call(s, audioLine, videoLine+"\r\na=rtcp-fb:96 ccm tmmbr")
	l := p.lines[1]
	told := func(rate int) bool {
		for _, r := range controls[*rtcp.RawPacket](l) {
			if h := r.Header(); h.Count == fmtTMMBR && parseTMMBR(*r, l.ssrc) == rate {
				return true
			}
		}
		return false
	}
	l.picture(0, true)
	eventually(t, "TMMBR", func() bool { return told(800_000) })
	s.SetMaxVideoBitRate(500_000)
	eventually(t, "the new limit", func() bool { return told(500_000) })
}

// TestReducedSize: where it was agreed, feedback comes without a report before
// it, and reports go on; elsewhere every datagram begins with one.
func TestReducedSize(t *testing.T) {
	t.Parallel()
	for name, agreed := range map[string]bool{"agreed": true, "not agreed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPhone(t, 2)
			s := &Session{KeyFrameInterval: 50 * time.Millisecond}
			line := videoLine
			if agreed {
				line += "\r\na=rtcp-rsize"
			}
			if body := p.call(s, audioLine, line); bytes.Contains(body, []byte("a=rtcp-rsize")) != agreed {
				t.Errorf("the answer is\n%s", body)
			}
			l := p.lines[1]
			alone := func() (alone, reports int) {
				l.mu.Lock()
				defer l.mu.Unlock()
				for _, b := range l.raw {
					if b[1] == byte(rtcp.TypePayloadSpecificFeedback) {
						alone++
					} else if b[1] == byte(rtcp.TypeReceiverReport) {
						reports++
					}
				}
				return alone, reports
			}
			ts := uint32(0)
			eventually(t, "key frame requests and a report", func() bool {
				l.picture(ts, false)
				ts += 3600
				n, reports := alone()
				asked := len(controls[*rtcp.PictureLossIndication](l)) + len(controls[*rtcp.FullIntraRequest](l))
				return asked >= 5 && reports > 0 && (n > 0 || !agreed)
			})
			if n, _ := alone(); n > 0 != agreed {
				t.Errorf("%d requests without a report", n)
			}
		})
	}
}
