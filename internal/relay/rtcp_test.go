package relay

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func compound(t testing.TB) []byte {
	t.Helper()
	b, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: 1, NTPTime: 0xe5000000_80000000, RTPTime: 9000, PacketCount: 5, OctetCount: 600,
			Reports: []rtcp.ReceptionReport{{SSRC: 2, FractionLost: 3}},
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "a"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDropSenderReports(t *testing.T) {
	packets, err := rtcp.Unmarshal(DropSenderReports(compound(t)))
	if err != nil || len(packets) != 2 {
		t.Fatalf("%v, %v", packets, err)
	}
	r, ok := packets[0].(*rtcp.ReceiverReport)
	if !ok || r.SSRC != 1 || len(r.Reports) != 1 || r.Reports[0].SSRC != 2 || r.Reports[0].FractionLost != 3 {
		t.Errorf("got %+v", packets[0])
	}
	if d, ok := packets[1].(*rtcp.SourceDescription); !ok || d.Chunks[0].Items[0].Text != "a" {
		t.Errorf("got %+v", packets[1])
	}
}

func TestShiftSenderReports(t *testing.T) {
	for d, want := range map[time.Duration]uint64{
		time.Second:              0xe5000001_80000000,
		-time.Second:             0xe4ffffff_80000000,
		500 * time.Millisecond:   0xe5000001_00000000,
		-750 * time.Millisecond:  0xe4ffffff_c0000000,
		2500 * time.Millisecond:  0xe5000003_00000000,
		-1500 * time.Millisecond: 0xe4ffffff_00000000,
	} {
		packets, err := rtcp.Unmarshal(ShiftSenderReports(d)(compound(t)))
		if err != nil {
			t.Fatal(err)
		}
		r, ok := packets[0].(*rtcp.SenderReport)
		if !ok || r.NTPTime != want || r.RTPTime != 9000 || r.PacketCount != 5 || len(r.Reports) != 1 {
			t.Errorf("%v: got %+v, want NTP time %x", d, packets[0], want)
		}
	}
}

// RTP, and what is cut short, passes unchanged.
func TestFiltersLeaveTheRest(t *testing.T) {
	for name, p := range map[string][]byte{
		"RTP":           append([]byte{0x80, 96, 0, 1}, make([]byte, 40)...),
		"short":         {0x80, 200},
		"empty":         {},
		"length beyond": {0x80, 200, 0, 200, 0, 0, 0, 1, 0, 0, 0, 0},
		"no room":       {0x80, 200, 0, 1, 0, 0, 0, 1},
	} {
		for _, f := range []Filter{DropSenderReports, ShiftSenderReports(time.Second)} {
			if got := f(bytes.Clone(p)); !bytes.Equal(got, p) {
				t.Errorf("%s: %x became %x", name, p, got)
			}
		}
	}
}

func FuzzFilters(f *testing.F) {
	f.Add(compound(f))
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		if got := ShiftSenderReports(time.Second)(bytes.Clone(p)); len(got) != len(p) {
			t.Errorf("%d bytes became %d", len(p), len(got))
		}
		once := DropSenderReports(bytes.Clone(p))
		if len(once) > len(p) {
			t.Errorf("%d bytes became %d", len(p), len(once))
		}
	})
}
