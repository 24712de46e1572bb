package rtpio

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

const ms = time.Millisecond

// contiguous checks frames that follow each other without a gap and hold the
// bytes 0, 1, 2, ...
func contiguous(t *testing.T, frames []*media.Frame, n int, period time.Duration) {
	t.Helper()
	if len(frames) != n {
		t.Fatalf("%d frames, want %d", len(frames), n)
	}
	for i, f := range frames {
		if f.PTS != time.Duration(i)*period || f.Data[0][0] != byte(i) {
			t.Fatalf("frame %d: %s, byte %d", i, describe(f), f.Data[0][0])
		}
	}
}

func TestSoundInOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size   int // bytes a packet
		delays func(i int) time.Duration
		twice  bool
	}{
		"steady":       {size: 160, delays: func(int) time.Duration { return 0 }},
		"10 ms":        {size: 80, delays: func(int) time.Duration { return 0 }},
		"60 ms":        {size: 480, delays: func(int) time.Duration { return 0 }},
		"jitter":       {size: 160, delays: func(i int) time.Duration { return time.Duration(i*7%30) * ms }},
		"reordered":    {size: 160, delays: func(i int) time.Duration { return time.Duration(i%3%2) * 25 * ms }},
		"pairs turned": {size: 160, delays: func(i int) time.Duration { return time.Duration((i+1)%2) * 21 * ms }},
		"duplicates":   {size: 160, delays: func(int) time.Duration { return 0 }, twice: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			v := &voice{ssrc: 1, seq: 65500, ts: 1<<32 - 4000}
			period := time.Duration(c.size) * time.Second / 8000
			for i := range 200 {
				p := v.packet(c.size, byte(i))
				at := time.Duration(i)*period + c.delays(i)
				if i == 0 {
					at = 0
				}
				l.send(0, at, p)
				if c.twice {
					l.send(0, at+5*ms, p)
				}
			}
			l.run()
			contiguous(t, l.of(false), 200, period)
			st := l.stats(0)
			if want := uint64(0); c.twice {
				want = 200
				if st.Duplicate != want || st.Lost != -200 {
					t.Errorf("%+v", st)
				}
			} else if st.Lost != 0 || st.Late != 0 || st.Frames != 200 || st.Packets != 200 || st.Codec != media.PCMU || st.SSRC != 1 {
				t.Errorf("%+v", st)
			}
			if f := l.frames[0]; f.Track.ClockRate != 8000 || f.Track.Channels != 1 || f.Track != l.frames[199].Track {
				t.Errorf("track %+v", f.Track)
			}
		})
	}
}

func TestSoundLostAndLate(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	for i := range 200 {
		p := v.packet(160, byte(i))
		at := time.Duration(i) * 20 * ms
		switch {
		case i >= 50 && i < 55: // lost
			continue
		case i == 100: // far too late
			at += 900 * ms
		}
		l.send(0, at, p)
	}
	l.run()
	frames := l.of(false)
	if len(frames) != 194 {
		t.Fatalf("%d frames", len(frames))
	}
	for _, f := range frames {
		if i := time.Duration(f.Data[0][0]); f.PTS != i*20*ms {
			t.Fatalf("frame %d at %v: gaps show as gaps", i, f.PTS)
		}
	}
	if st := l.stats(0); st.Lost != 5 || st.Late != 1 || st.Concealed != 6*20*ms {
		t.Errorf("%+v", st)
	}
}

// TestJitterBuffer: the delay follows the network, between its bounds.
func TestJitterBuffer(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{JitterMin: 30 * ms, JitterMax: 200 * ms})
	v := &voice{ssrc: 1}
	send := func(from, n int, jitter time.Duration) {
		for i := from; i < from+n; i++ {
			l.send(0, time.Duration(i)*20*ms+time.Duration(i*13%10)*jitter/10, v.packet(160, byte(i)))
		}
	}
	send(0, 500, 0)
	l.run()
	if d := l.stats(0).Delay; d != 30*ms {
		t.Errorf("delay %v in a network without jitter", d)
	}
	send(550, 500, 150*ms)
	l.run()
	if d := l.stats(0).Delay; d < 130*ms || d > 160*ms {
		t.Errorf("delay %v with 150 ms of jitter", d)
	}
	send(1150, 500, 600*ms)
	l.run()
	if d := l.stats(0).Delay; d < 195*ms || d > 200*ms {
		t.Errorf("delay %v beyond the bound", d)
	}
	send(1800, 2000, 0)
	l.run()
	if d := l.stats(0).Delay; d != 30*ms {
		t.Errorf("delay %v when the jitter has gone", d)
	}
}

func TestAnotherSSRC(t *testing.T) {
	t.Parallel()
	for name, reINVITE := range map[string]bool{"announced": true, "on its own": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			a, b := &voice{ssrc: 1, seq: 100, ts: 5000}, &voice{ssrc: 2, seq: 60000, ts: 1 << 31}
			for i := range 100 {
				l.send(0, time.Duration(i)*20*ms, a.packet(160, byte(i)))
			}
			l.run()
			if reINVITE {
				l.r.setFormats(0, sdp.Audio, soundFormats, l.now)
			}
			for i := range 100 {
				l.send(0, time.Duration(200+i)*20*ms, b.packet(160, byte(100+i)))
			}
			late := a.packet(160, 255)
			l.send(0, 4200*ms, late)
			l.run()
			frames := l.of(false)
			if len(frames) != 200 {
				t.Fatalf("%d frames", len(frames))
			}
			for i, f := range frames {
				want := time.Duration(i) * 20 * ms
				if i >= 100 {
					want += 2 * time.Second
				}
				if (f.PTS-want).Abs() > 25*ms || f.Data[0][0] != byte(i) {
					t.Fatalf("frame %d at %v, want %v", i, f.PTS, want)
				}
			}
			if ssrc, ok := l.r.SSRC(0); !ok || ssrc != 2 {
				t.Errorf("SSRC %d", ssrc)
			}
		})
	}
}

// TestMixedSSRCs: two streams at once do not take turns.
func TestMixedSSRCs(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	a, b := &voice{ssrc: 1}, &voice{ssrc: 2, seq: 30000, ts: 1 << 30}
	for i := range 200 {
		at := time.Duration(i) * 20 * ms
		l.send(0, at, a.packet(160, 1))
		l.send(0, at+5*ms, b.packet(160, 2))
	}
	l.run()
	for _, f := range l.of(false) {
		if f.Data[0][0] != 1 {
			t.Fatal("sound of the other stream")
		}
	}
	if n := len(l.of(false)); n != 200 {
		t.Errorf("%d frames", n)
	}
}

// TestRestart: the same SSRC begins anew with other numbers.
func TestRestart(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1, seq: 10, ts: 1000}
	for i := range 100 {
		if i == 50 {
			v.seq, v.ts = 40000, 7
		}
		l.send(0, time.Duration(i)*20*ms, v.packet(160, byte(i)))
	}
	l.run()
	contiguous(t, l.of(false), 100, 20*ms)
}

func TestCodecSwitch(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	at := time.Duration(0)
	put := func(pt uint8, n int, ticks uint32, payload []byte) {
		for range n {
			v.pt = pt
			p := v.packet(0, 0)
			p.Payload = payload
			v.ts += ticks
			l.send(0, at, p)
			at += 20 * ms
		}
	}
	put(0, 50, 160, make([]byte, 160))
	put(8, 50, 160, make([]byte, 160))
	put(13, 1, 160, []byte{60}) // comfort noise, then nothing for a second
	at += time.Second
	v.ts += 8000
	put(9, 50, 160, make([]byte, 160))
	put(111, 50, 960, []byte{0xf8, 1, 2})
	put(77, 5, 160, make([]byte, 160)) // unknown
	put(111, 1, 960, nil)              // nothing in it
	put(111, 50, 960, []byte{0xfc, 1, 2})
	l.run()
	frames := l.of(false)
	if len(frames) != 250 {
		t.Fatalf("%d frames", len(frames))
	}
	want := []media.Track{
		{Codec: media.PCMU, ClockRate: 8000, Channels: 1}, {Codec: media.PCMA, ClockRate: 8000, Channels: 1},
		{Codec: media.G722, ClockRate: 16000, Channels: 1}, {Codec: media.Opus, ClockRate: 48000, Channels: 1},
		{Codec: media.Opus, ClockRate: 48000, Channels: 2},
	}
	for i, f := range frames {
		w := want[i/50]
		if f.Track.Codec != w.Codec || f.Track.ClockRate != w.ClockRate || f.Track.Channels != w.Channels {
			t.Fatalf("frame %d: track %+v, want %+v", i, f.Track, w)
		}
		if i%50 > 0 && (f.PTS != frames[i-1].PTS+20*ms || f.Track != frames[i-1].Track) {
			t.Fatalf("frame %d: %v after %v", i, f.PTS, frames[i-1].PTS)
		}
	}
	if gap := frames[100].PTS - frames[99].PTS; (gap - 1040*ms).Abs() > 5*ms {
		t.Errorf("a gap of %v during silence", gap)
	}
	if st := l.stats(0); st.Concealed != 0 || st.Lost != 0 || l.r.line(0).unknown != 5 {
		t.Errorf("%d unknown, %+v", l.r.line(0).unknown, st)
	}
}

func TestDigits(t *testing.T) {
	t.Parallel()
	event := func(v *voice, ts uint32, code byte, end bool, ticks int) rtp.Packet {
		v.pt = 101
		p := v.packet(0, 0)
		p.Timestamp = ts
		p.Payload = []byte{code, 10, byte(ticks >> 8), byte(ticks)}
		if end {
			p.Payload[1] |= 0x80
		}
		return p
	}
	for name, c := range map[string]struct {
		make func(l *lab, v *voice)
		want string
		last time.Duration // of the last digit
	}{
		"end three times": {func(l *lab, v *voice) {
			for i := range 8 {
				l.send(0, time.Duration(i)*20*ms, event(v, 500, 7, i >= 5, 160*min(i+1, 6)))
			}
		}, "7", 120 * ms},
		"end lost": {func(l *lab, v *voice) {
			for i := range 5 {
				l.send(0, time.Duration(i)*20*ms, event(v, 500, 11, false, 160*(i+1)))
			}
		}, "#", 100 * ms},
		"only the end": {func(l *lab, v *voice) { l.send(0, 0, event(v, 500, 15, true, 800)) }, "D", 100 * ms},
		"end lost, another digit": {func(l *lab, v *voice) {
			l.send(0, 0, event(v, 500, 1, false, 160))
			l.send(0, 100*ms, event(v, 2000, 1, false, 160))
			l.send(0, 120*ms, event(v, 2000, 1, true, 320))
		}, "11", 40 * ms},
		"reordered": {func(l *lab, v *voice) {
			a, b, d := event(v, 500, 3, false, 160), event(v, 500, 3, true, 320), event(v, 500, 3, true, 320)
			l.send(0, 0, a)
			l.send(0, 21*ms, d)
			l.send(0, 40*ms, b)
		}, "3", 40 * ms},
		"repeated after the next": {func(l *lab, v *voice) {
			l.send(0, 0, event(v, 500, 3, true, 320))
			l.send(0, 20*ms, event(v, 1500, 4, true, 320))
			l.send(0, 40*ms, event(v, 500, 3, true, 320))
		}, "34", 40 * ms},
		"long": {func(l *lab, v *voice) {
			at := time.Duration(0)
			for seg := range 2 {
				for i := 1; i <= 400; i++ {
					end := seg == 1 && i == 200
					l.send(0, at, event(v, 500+uint32(seg)*0xffff, 2, end, min(i*164, 0xffff)))
					if at += 20 * ms; end {
						return
					}
				}
			}
		}, "2", 0xffff*time.Second/8000 + 200*164*time.Second/8000},
		"flash and noise": {func(l *lab, v *voice) {
			l.send(0, 0, event(v, 500, 16, true, 320))
			p := event(v, 900, 1, true, 320)
			p.Payload = p.Payload[:3]
			l.send(0, 20*ms, p)
		}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			c.make(l, &voice{ssrc: 1})
			l.run()
			got := ""
			for _, d := range l.digits {
				got += string(d.r)
			}
			if got != c.want {
				t.Fatalf("digits %q, want %q", got, c.want)
			}
			if got != "" && l.digits[len(l.digits)-1].d != c.last {
				t.Errorf("%v long, want %v", l.digits[len(l.digits)-1].d, c.last)
			}
		})
	}
}

// TestDigitInSpeech: sound stops for a digit and goes on in its place.
func TestDigitInSpeech(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	for i := range 100 {
		p := v.packet(160, byte(i))
		if i >= 40 && i < 50 {
			p.PayloadType, p.Timestamp = 101, 40*160
			p.Payload = []byte{5, 10, byte((i - 39) * 160 >> 8), byte((i - 39) * 160)}
			if i >= 47 {
				p.Payload[1] |= 0x80
			}
		}
		l.send(0, time.Duration(i)*20*ms, p)
	}
	l.run()
	frames := l.of(false)
	if len(frames) != 90 || len(l.digits) != 1 || l.digits[0].r != '5' {
		t.Fatalf("%d frames, digits %v", len(frames), l.digits)
	}
	for _, f := range frames {
		if f.PTS != time.Duration(f.Data[0][0])*20*ms {
			t.Fatalf("%s, byte %d", describe(f), f.Data[0][0])
		}
	}
	if st := l.stats(0); st.Lost != 0 || st.Concealed != 0 {
		t.Errorf("%+v", st)
	}
}

func TestReceptionReport(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 9, seq: 65530}
	for i := range 100 {
		p := v.packet(160, 0)
		if i%4 != 1 {
			l.send(0, time.Duration(i)*20*ms+time.Duration(i%2)*10*ms, p)
		}
	}
	l.run()
	l.r.SenderReport(0, 9, 0x1234_5678_9abc_def0, v.ts, l.start.Add(l.now))
	rr := l.r.ReceptionReports(0, l.start.Add(l.now+time.Second/2))
	if len(rr) != 1 {
		t.Fatal("no report")
	}
	// Jitter: differences of 80 ticks between neighbours, as far as both came.
	if r := rr[0]; r.SSRC != 9 || r.TotalLost != 25 || r.FractionLost != 64 || r.LastSequenceNumber != 1<<16+65530+99-1<<16 ||
		r.LastSenderReport != 0x5678_9abc || r.Delay != 1<<15 || r.Jitter < 40 || r.Jitter > 80 {
		t.Errorf("%+v", r)
	}
	for i := range 100 {
		l.send(0, l.now+time.Duration(i)*20*ms, v.packet(160, 0))
	}
	l.run()
	if r := l.r.ReceptionReports(0, l.start.Add(l.now))[0]; r.TotalLost != 25 || r.FractionLost != 0 {
		t.Errorf("second report: %+v", r)
	}
	if !bytes.Equal(l.frames[0].Data[0], make([]byte, 160)) {
		t.Error("sound changed")
	}
	if l.r.ReceptionReports(1, l.start) != nil || l.r.ReceptionReports(7, l.start) != nil {
		t.Error("a report about nothing")
	}
}

// TestTimestampsWithoutSense: those that stand or go back a little in order
// cost their frames, and nothing goes back.
func TestTimestampsWithoutSense(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	for i := range 100 {
		p := v.packet(160, byte(i))
		switch {
		case i == 30:
			p.Timestamp -= 160
		case i == 40:
			p.Timestamp -= 800
		}
		l.send(0, time.Duration(i)*20*ms, p)
	}
	l.run()
	frames := l.of(false)
	if len(frames) != 98 || l.stats(0).Late != 2 {
		t.Errorf("%d frames, %+v", len(frames), l.stats(0))
	}
	for i := 1; i < len(frames); i++ {
		if frames[i].PTS <= frames[i-1].PTS {
			t.Fatalf("%s after %s", describe(frames[i]), describe(frames[i-1]))
		}
	}
}

// TestNobodyTakesFrames: what waits is bounded, and it goes on afterwards.
func TestNobodyTakesFrames(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	for i := range 5000 {
		p := v.packet(160, byte(i))
		l.r.Packet(0, &p, l.start.Add(time.Duration(i)*20*ms))
	}
	l.now = 5000 * 20 * ms
	if n := l.r.line(0).queue.len(); n > 2*maxQueued+1 || cap(l.r.line(0).queue.list) > 8*maxQueued {
		t.Errorf("%d frames wait", n)
	}
	if st := l.stats(0); st.Discarded < 4000 {
		t.Errorf("%+v", st)
	}
	l.until(l.now)
	for i := range 50 {
		l.send(0, l.now+time.Duration(i)*20*ms, v.packet(160, 1))
	}
	l.run()
	if f := l.frames[len(l.frames)-1]; f.PTS != 5049*20*ms {
		t.Errorf("last frame at %v", f.PTS)
	}
}

// TestQueue: beyond its bounds the oldest frames leave before their time.
func TestQueue(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	line := l.r.line(0)
	track := &media.Track{Codec: media.PCMU}
	for i := range maxQueued + 10 {
		at := time.Hour + time.Duration(i)*20*ms
		line.push(&media.Frame{Track: track, PTS: at, DTS: at, Data: [][]byte{{1}}})
	}
	l.r.Pop(l.start, l.emit(0))
	if len(l.frames) != 10 || line.queue.len() != maxQueued || line.queue.bytes != maxQueued {
		t.Errorf("%d frames left, %d of %d bytes wait", len(l.frames), line.queue.len(), line.queue.bytes)
	}
}

// TestLateOldSource: two late packets in a row of the SSRC before do not bring
// it back.
func TestLateOldSource(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	a, b := &voice{ssrc: 1, seq: 100}, &voice{ssrc: 2, seq: 200, ts: 1 << 31}
	for i := range 50 {
		l.send(0, time.Duration(i)*20*ms, a.packet(160, byte(i)))
	}
	for i := range 50 {
		at := time.Duration(50+i) * 20 * ms
		l.send(0, at, b.packet(160, byte(50+i)))
		if i == 10 {
			l.send(0, at+ms, a.packet(160, 200))
			l.send(0, at+2*ms, a.packet(160, 201))
		}
	}
	l.run()
	contiguous(t, l.of(false), 100, 20*ms)
	if ssrc, _ := l.r.SSRC(0); ssrc != 2 {
		t.Errorf("SSRC %d", ssrc)
	}
}

// TestHoldBehindGap: a line is put on hold while packets wait for a lost one.
func TestHoldBehindGap(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	for i := range 100 {
		p := v.packet(160, byte(i))
		if i != 48 {
			l.send(0, time.Duration(i)*20*ms, p)
		}
		if i == 49 {
			l.runUntil(time.Duration(i)*20*ms + ms)
			l.r.setFormats(0, sdp.Audio, nil, l.now)
			l.until(l.now + 500*ms)
			l.r.setFormats(0, sdp.Audio, soundFormats, l.now)
		}
	}
	l.run()
	frames := l.of(false)
	if n := len(frames); n != 98 || frames[n-1].PTS != 99*20*ms {
		t.Errorf("%d frames, the last %s", n, describe(frames[n-1]))
	}
}
