package rtpio

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/gotranspile/g722"
	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b    []byte
		want packetClass
	}{
		"empty":            {nil, classOther},
		"one byte":         {[]byte{0x80}, classOther},
		"STUN binding":     {[]byte{0, 1}, classSTUN},
		"DTLS handshake":   {[]byte{22, 0xfe}, classDTLS},
		"TURN channel":     {[]byte{64, 0}, classOther},
		"RTP":              {[]byte{0x80, 96}, classRTP},
		"RTP with marker":  {[]byte{0x80, 0xe0}, classRTP},
		"sender report":    {[]byte{0x80, 200}, classRTCP},
		"payload feedback": {[]byte{0x81, 206}, classRTCP},
		"extended report":  {[]byte{0x80, 207}, classRTCP},
		"version 3":        {[]byte{0xc0, 96}, classOther},
	} {
		if got := classify(c.b); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestKeyFrameLadder(t *testing.T) {
	t.Parallel()
	start := time.Unix(1e9, 0)
	type asked struct {
		rtcp keyAsk
		sip  bool
	}
	all := sdp.Feedback{PLI: true, FIR: true}
	for name, c := range map[string]struct {
		means keyMeans
		want  []asked // one each second
	}{
		"PLI only":         {keyMeans{feedback: sdp.Feedback{PLI: true}}, []asked{{askPLI, false}, {askPLI, false}, {askPLI, false}}},
		"FIR only":         {keyMeans{feedback: sdp.Feedback{FIR: true}}, []asked{{askFIR, false}, {askFIR, false}, {askFIR, false}}},
		"PLI, FIR and SIP": {keyMeans{feedback: all, sip: true}, []asked{{askPLI, false}, {askPLI, false}, {askPLI, true}, {askFIR, true}}},
		"PLI and SIP":      {keyMeans{feedback: sdp.Feedback{PLI: true}, sip: true}, []asked{{askPLI, false}, {askPLI, false}, {askPLI, true}}},
		"SIP only":         {keyMeans{sip: true}, []asked{{askNone, true}, {askNone, true}}},
		"forced":           {keyMeans{force: true}, []asked{{askPLI, false}, {askPLI, false}, {askPLI, false}, {askFIR, false}}},
		"nothing":          {keyMeans{}, []asked{{askNone, false}, {askNone, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.means.interval = time.Second
			var k keyFrames
			k.want(start, false)
			for i, want := range c.want {
				now := start.Add(time.Duration(i) * time.Second)
				if r, sip := k.ask(c.means, now); r != want.rtcp || sip != want.sip {
					t.Fatalf("request %d: %v %v, want %v", i, r, sip, want)
				}
				if r, sip := k.ask(c.means, now.Add(999*time.Millisecond)); r != askNone || sip {
					t.Fatalf("request %d is repeated too soon", i)
				}
			}
			end := start.Add(time.Minute)
			k.got(end)
			if r, sip := k.ask(c.means, end.Add(time.Minute)); r != askNone || sip {
				t.Error("asked after the key frame came")
			}
		})
	}
}

func TestKeyFramePeriod(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		came   time.Time
		period time.Duration
		want   bool
	}{
		{time.Time{}, time.Second, false}, {now.Add(-time.Second), time.Second, true},
		{now.Add(-time.Second + 1), time.Second, false}, {now.Add(-time.Hour), 0, false},
	} {
		if got := (&keyFrames{came: c.came}).old(now, c.period); got != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func TestKeyFramePatience(t *testing.T) {
	t.Parallel()
	m := keyMeans{feedback: sdp.Feedback{PLI: true}, interval: time.Second}
	now := time.Unix(1e9, 0)
	var k keyFrames
	k.want(now, true)
	if r, _ := k.ask(m, now.Add(keyGrace-1)); r != askNone {
		t.Error("a stream that begins is given no time")
	}
	requests := 0
	for d := time.Duration(0); d < time.Minute; d += 10 * time.Millisecond {
		if r, _ := k.ask(m, now.Add(d)); r != askNone {
			requests++
		}
	}
	if requests != 10+10 {
		t.Errorf("%d requests in a minute without an answer", requests)
	}
	// A new wish does not break the pace.
	k.got(now.Add(time.Minute))
	k.want(now.Add(time.Minute), false)
	if at, _ := k.next(m); at.Sub(k.last) < time.Second {
		t.Errorf("next request %v after the last", at.Sub(k.last))
	}
}

func TestReportInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bandwidth, size int
		low, high       time.Duration
	}{
		{0, 100, 5 * time.Second, 5 * time.Second},
		{64_000, 100, 5 * time.Second, 5 * time.Second},
		{90_000, 100, 4 * time.Second, 4 * time.Second}, // 360/90
		{2_000_000, 100, time.Second, time.Second},
	} {
		if d := reportInterval(c.bandwidth, c.size); d < c.low || d > c.high {
			t.Errorf("%d bit/s: %v", c.bandwidth, d)
		}
	}
	var sum, low, high time.Duration
	low = time.Hour
	const n = 20000
	for range n {
		d := nextReport(5*time.Second, false)
		sum, low, high = sum+d, min(low, d), max(high, d)
	}
	factor := 1 / (math.E - 1.5)
	mean, want := sum.Seconds()/n, 5*factor
	if math.Abs(mean-want) > 0.1 || low.Seconds() < 2.5*factor-0.01 || high.Seconds() > 7.5*factor+0.01 {
		t.Errorf("mean %.2f s (want %.2f), from %v to %v", mean, want, low, high)
	}
}

func TestSendClock(t *testing.T) {
	t.Parallel()
	var c sendClock
	at := func(pts, now time.Duration) time.Duration { return c.place(pts, now) }
	if got := at(40*time.Second, 5*time.Second); got != 5*time.Second {
		t.Errorf("first frame at %v", got)
	}
	if got := at(40*time.Second+20*time.Millisecond, 5*time.Second+35*time.Millisecond); got != 5*time.Second+20*time.Millisecond {
		t.Errorf("a late frame at %v: jitter of the writer must not show", got)
	}
	if got := at(0, 6*time.Second); got != 6*time.Second {
		t.Errorf("another stream at %v", got)
	}
	if got := at(20*time.Millisecond, 9*time.Second); got != 9*time.Second {
		t.Errorf("after a stall at %v", got)
	}
}

func TestAudioTimestamps(t *testing.T) {
	t.Parallel()
	s := sender{base: 1000}
	s.use(&sdp.Format{Codec: media.PCMU, ClockRate: 8000})
	base := s.base
	for i, c := range []struct {
		at    time.Duration
		ts    uint32
		spurt bool
	}{
		{0, 0, true},
		{21 * time.Millisecond, 160, false}, // 8 ticks late: end to end
		{40 * time.Millisecond, 320, false},
		{200 * time.Millisecond, 1600, true}, // after a pause
		{205 * time.Millisecond, 1760, false},
	} {
		if ts, spurt := s.audioTimestamp(c.at, 160); ts != base+c.ts || spurt != c.spurt {
			t.Errorf("packet %d: %d %v, want %d %v", i, ts-base, spurt, c.ts, c.spurt)
		}
	}
	if got := ticks(math.MaxInt64, 90000); got < 0 {
		t.Error("ticks overflows")
	}
	ssrc := s.ssrc
	s.use(&sdp.Format{Codec: media.Opus, ClockRate: 48000})
	if s.ssrc == ssrc || s.packets != 0 {
		t.Error("the SSRC outlives its clock rate")
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	h := &history{}
	now := time.Unix(1e9, 0)
	put := func(seq uint16) {
		p := h.next()
		p.seq, p.b, p.resent = seq, []byte{byte(seq)}, time.Time{}
		h.add()
		h.sent = h.head
	}
	if h.find(0, now) != nil {
		t.Error("found in an empty history")
	}
	seq := uint16(65000)
	for range 1000 { // over the wrap
		put(seq)
		seq++
	}
	for back := uint16(1); back <= historySize; back++ {
		if p := h.find(seq-back, now); p == nil || p.seq != seq-back {
			t.Fatalf("the packet %d back is missing", back)
		}
	}
	if h.find(seq-historySize-1, now) != nil || h.find(seq, now) != nil {
		t.Error("found what is not there")
	}
	if h.find(seq-1, now.Add(resendGap/2)) != nil {
		t.Error("repeated twice at once")
	}
	if h.find(seq-1, now.Add(resendGap)) == nil {
		t.Error("not repeated again later")
	}
	// What waits is not found, and does not push out what waits.
	for range historySize {
		if h.full() {
			t.Fatal("full too early")
		}
		h.next().seq = seq
		h.add()
		seq++
	}
	if !h.full() || h.find(seq-1, now) != nil {
		t.Error("packets that wait are found")
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	sent := time.Unix(1_700_000_000, 123456789)
	lsr := uint32(ntp(sent) >> 16)
	d, ok := roundTrip(sent.Add(150*time.Millisecond), lsr, 65536/10)
	if !ok || (d-50*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("round trip %v %v", d, ok)
	}
	for _, c := range []struct{ lsr, delay uint32 }{{0, 0}, {lsr, 1 << 20}, {lsr + 1<<30, 0}} {
		if d, ok := roundTrip(sent, c.lsr, c.delay); ok {
			t.Errorf("%v: %v", c, d)
		}
	}
	if got := time.Duration(ntp(sent)&0xffffffff) * time.Second >> 32; (got - 123456789).Abs() > 1 {
		t.Errorf("fraction of NTP time: %v", got)
	}
}

func TestTMMBR(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 64_000, 131_071, 131_072, 2_000_000, 1_000_000_000} {
		b := tmmb(fmtTMMBR, 1, 77, rate)
		var h rtcp.Header
		if err := h.Unmarshal(b); err != nil || int(h.Length+1)*4 != len(b) || h.Count != fmtTMMBR {
			t.Fatalf("header %+v, %v", h, err)
		}
		got := parseTMMBR(b, 77)
		if got > rate || float64(got) < float64(rate)*0.9999 {
			t.Errorf("%d bit/s comes back as %d", rate, got)
		}
		if parseTMMBR(b, 78) != 0 {
			t.Error("a limit for another SSRC is taken")
		}
	}
	huge := tmmb(fmtTMMBR, 1, 77, 1)
	binary.BigEndian.PutUint32(huge[16:], 0xffffffff)
	if got := parseTMMBR(huge, 77); got != 0 {
		t.Errorf("exponent 63 gives %d", got)
	}
}

func TestOpusDuration(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	for _, c := range []struct {
		b    []byte
		want time.Duration
	}{
		{nil, 0},
		{[]byte{0 << 3}, 10 * ms},
		{[]byte{3 << 3}, 60 * ms},
		{[]byte{12 << 3}, 10 * ms},
		{[]byte{15 << 3}, 20 * ms},
		{[]byte{16 << 3}, 2500 * time.Microsecond},
		{[]byte{31 << 3}, 20 * ms},
		{[]byte{31<<3 | 1}, 40 * ms},
		{[]byte{31<<3 | 3, 3}, 60 * ms},
		{[]byte{31<<3 | 3}, 0},
		{[]byte{3<<3 | 3, 63}, 0}, // above 120 ms
	} {
		if got := opusDuration(c.b); got != c.want {
			t.Errorf("% x: %v, want %v", c.b, got, c.want)
		}
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for codec, rate := range map[media.Codec]int{media.PCMU: 8000, media.PCMA: 8000, media.G722: 8000, media.Opus: 48000} {
		if got, want := audioTicks(codec, silence(codec)), int(ticks(silenceLength, rate)); got != want {
			t.Errorf("%s: silence of %d ticks, want %d", codec, got, want)
		}
	}
	if silence(media.AAC) != nil {
		t.Error("silence for AAC")
	}
	pcm := make([]int16, 8*320)
	dec := g722.NewDecoder(g722.Rate64000, 0)
	var frames []byte
	for range 8 {
		frames = append(frames, silence(media.G722)...)
	}
	n := dec.Decode(pcm, frames)
	for i, v := range pcm[:n] {
		if v > 4 || v < -4 {
			t.Fatalf("G.722 silence: sample %d is %d", i, v)
		}
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	p := &Ports{First: 45001, Last: 45008, Addr: netip.MustParseAddr("127.0.0.1"), Quarantine: time.Hour}
	var pairs []*portPair
	for range 3 { // 45002, 45004, 45006
		pp, err := p.open(sdp.Audio, true)
		if err != nil {
			t.Fatal(err)
		}
		if pp.port%2 != 0 || pp.port < 45001 || pp.port > 45007 {
			t.Errorf("port %d", pp.port)
		}
		pairs = append(pairs, pp)
	}
	if _, err := p.open(sdp.Audio, true); !errors.Is(err, ErrNoPorts) {
		t.Errorf("a fourth pair: %v", err)
	}
	for _, pp := range pairs {
		pp.stop()
		pp.release()
	}
	if _, err := p.open(sdp.Audio, true); !errors.Is(err, ErrNoPorts) {
		t.Errorf("in quarantine: %v", err)
	}
	if p.InUse() != 0 {
		t.Errorf("%d in use", p.InUse())
	}

	// Ports taken by others are passed over.
	q := &Ports{First: 45002, Last: 45007, Addr: p.Addr, Quarantine: -1}
	taken, err := q.listen(45003, false, true)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		pp, err := q.open(sdp.Audio, true)
		if err != nil {
			t.Fatal(err)
		}
		if pp.port == 45002 {
			t.Error("a pair with a taken RTCP port")
		}
		pp.stop()
		pp.release()
	}
	_ = taken.Close()
	for _, bad := range []*Ports{{First: 10, Last: 5}, {First: 1, Last: 70000}, {First: 45001, Last: 45001}} {
		if _, err := bad.open(sdp.Audio, true); !errors.Is(err, ErrNoPorts) {
			t.Errorf("%d to %d: %v", bad.First, bad.Last, err)
		}
	}
	foreign := &Ports{Addr: netip.MustParseAddr("192.0.2.1")}
	if _, err := foreign.open(sdp.Audio, true); err == nil || errors.Is(err, ErrNoPorts) {
		t.Errorf("an address that is not ours: %v", err)
	}
}
