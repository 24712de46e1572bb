package rtpio

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

var testTrack = &media.Track{Codec: media.H264, ClockRate: 90000, Config: [][]byte{testSPS, testPPS}}

// film sends n pictures of 25 a second, the first one a key frame; change may
// alter the packets of each.
func (l *lab) film(c *camera, from, n int, key func(i int) bool, change func(i int, list []rtp.Packet) []rtp.Packet) (sent []*media.Frame) {
	for i := from; i < from+n; i++ {
		f := h264Picture(testTrack, key(i), 2500)
		f.Data[0][len(f.Data[0])-1] = byte(i)
		sent = append(sent, f)
		list := c.picture(uint32(i)*3600+1<<31, f)
		if change != nil {
			list = change(i, list)
		}
		for j, p := range list {
			l.send(1, time.Duration(i)*40*ms+time.Duration(j)*ms, p)
		}
	}
	return sent
}

func first(i int) bool          { return i == 0 }
func each(n int) func(int) bool { return func(i int) bool { return i%n == 0 } }
func nth(f *media.Frame) int    { b := f.Data[len(f.Data)-1]; return int(b[len(b)-1]) }

// numbers are the pictures that came, by their last byte.
func numbers(frames []*media.Frame) (list []int) {
	for _, f := range frames {
		list = append(list, nth(f))
	}
	return list
}

func upTo(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestPicturesWhole(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(i int, list []rtp.Packet) []rtp.Packet{
		"in order": nil,
		"no markers": func(_ int, list []rtp.Packet) []rtp.Packet {
			for i := range list {
				list[i].Marker = false
			}
			return list
		},
		"reordered": func(_ int, list []rtp.Packet) []rtp.Packet { slices.Reverse(list); return list },
		"twice":     func(_ int, list []rtp.Packet) []rtp.Packet { return append(list, list...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			c := &camera{t: t, format: h264Format(1), ssrc: 3, seq: 65000}
			sent := l.film(c, 0, 200, each(50), change)
			l.run()
			l.r.Flush(l.emit(l.now))
			frames := l.of(true)
			if got := numbers(frames); !slices.Equal(got, upTo(0, 200)) {
				t.Fatalf("pictures %v", got)
			}
			for i, f := range frames {
				if f.PTS != time.Duration(i)*40*ms || f.DTS != f.PTS || f.Key != sent[i].Key || !slices.EqualFunc(f.Data, sent[i].Data, bytes.Equal) {
					t.Fatalf("picture %d: %s", i, describe(f))
				}
				if f.Track != frames[0].Track {
					t.Fatalf("picture %d has another track", i)
				}
			}
			if tr := frames[0].Track; tr.Width != 320 || tr.Height != 240 || !slices.EqualFunc(tr.Config, testTrack.Config, bytes.Equal) {
				t.Errorf("track %+v", tr)
			}
			if st := l.stats(1); st.KeyFrames != 4 || st.DamagedFrames != 0 || st.Freezes != 0 || st.Frames != 200 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestSlices: a picture of several NAL units, with delimiters and parameter
// sets in front, in modes 0 and 1, and with a marker on each packet.
func TestSlices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    int
		markers bool
	}{"mode 1": {mode: 1}, "mode 0": {mode: 0}, "markers everywhere": {mode: 0, markers: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			l.r.setFormats(1, sdp.Video, formatList{h264Format(c.mode)}, 0)
			cam := &camera{t: t, format: h264Format(c.mode), ssrc: 3}
			sei := []byte{6, 5, 2, 1, 2, 0x80}
			for i := range 20 {
				f := h264Picture(testTrack, i == 0, 300)
				second := nalUnit(400, f.Data[0][0], 0x44, 0x84)
				f.Data = [][]byte{{9, 0x10}, sei, f.Data[0], second, {0x0c, 0xff, 0xff}, second}
				for _, p := range cam.picture(uint32(i)*3600, f) {
					p.Marker = p.Marker || c.markers
					l.send(1, time.Duration(i)*40*ms, p)
				}
			}
			l.run()
			l.r.Flush(l.emit(l.now))
			frames := l.of(true)
			if !c.markers && len(frames) != 20 || len(frames) < 20 || len(frames) > 23 {
				t.Fatalf("%d pictures", len(frames))
			}
			f := frames[len(frames)-1]
			if len(f.Data) != 4 || !bytes.Equal(f.Data[0], sei) || len(f.Data[3]) != 400 || f.Data[1][0] != 0x41 {
				t.Errorf("%d NAL units, %x", len(f.Data), f.Data[0])
			}
		})
	}
}

// TestResolutionChange is 720p -> 360p -> 1080p, with repetitions between that
// change nothing, and a refresh of the session with what the SDP said first.
func TestResolutionChange(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	f := h264Format(1)
	f.H264.SPS, f.H264.PPS = [][]byte{spsOf(80, 45, 66, -1)}, [][]byte{testPPS}
	l.r.setFormats(1, sdp.Video, formatList{f}, 0)
	cam := &camera{t: t, format: f, ssrc: 3}
	tracks := []*media.Track{
		nil, // by the SDP only
		{Codec: media.H264, Config: [][]byte{spsOf(40, 23, 66, -1), testPPS}},
		{Codec: media.H264, Config: [][]byte{spsOf(120, 68, 66, -1), testPPS}},
	}
	for i := range 90 {
		pic := h264Picture(tracks[i/30], i%10 == 0, 500)
		for _, p := range cam.picture(uint32(i)*3600, pic) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
		if i == 75 {
			l.run()
			again := *f
			l.r.setFormats(1, sdp.Video, formatList{&again}, l.now)
		}
	}
	l.run()
	frames := l.of(true)
	if len(frames) != 90 {
		t.Fatalf("%d pictures", len(frames))
	}
	for i, f := range frames {
		w, h := []int{1280, 640, 1920}[i/30], []int{720, 368, 1088}[i/30]
		if f.Track.Width != w || f.Track.Height != h || i%30 > 0 && f.Track != frames[i-1].Track || i > 0 && i%30 == 0 && f.Track == frames[i-1].Track {
			t.Fatalf("picture %d: %+v", i, f.Track)
		}
	}
}

// TestIntraRefresh: a stream without IDR after its first picture, which is
// lost: a recovery point is where it begins, but not at once.
func TestIntraRefresh(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	for i := range 200 {
		f := h264Picture(testTrack, false, 500)
		f.Data[0][499] = byte(i)
		if i%25 == 0 {
			f.Data = append([][]byte{testSPS, testPPS, {6, 6, 1, 0xc4, 0x80}}, f.Data...)
		}
		for _, p := range cam.picture(uint32(i)*3600, f) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	frames := l.of(true)
	if len(frames) != 125 || nth(frames[0]) != 75 || !frames[0].Key || frames[1].Key || !frames[25].Key {
		t.Errorf("%d pictures", len(frames))
	}
}

// TestReorderedPictures: B pictures get DTS that never go back and are not
// above their PTS; what the SPS does not tell is learned.
func TestReorderedPictures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sps   []byte
		moved int // pictures whose PTS may be changed
	}{
		"told":    {sps: spsOf(20, 15, 77, 2)},
		"learned": {sps: spsOf(20, 15, 77, -1), moved: 3},
		"denied":  {sps: spsOf(20, 15, 66, -1), moved: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{})
			cam := &camera{t: t, format: h264Format(1), ssrc: 3}
			track := &media.Track{Codec: media.H264, Config: [][]byte{c.sps, testPPS}}
			order := []int{0, 4, 2, 1, 3} // of five pictures: I, P, B, b, b, then P, B, b, b
			for i := range 201 {
				show := 0
				if i > 0 {
					show = (i-1)/4*4 + order[(i-1)%4+1]
				}
				f := h264Picture(track, i == 0, 300)
				f.Data[0][299] = byte(show)
				for _, p := range cam.picture(uint32(show)*3600, f) {
					l.send(1, time.Duration(i)*40*ms, p)
				}
			}
			l.run()
			frames := l.of(true)
			if len(frames) != 201 {
				t.Fatalf("%d pictures", len(frames))
			}
			moved := 0
			for i, f := range frames {
				if i > 0 && f.DTS < frames[i-1].DTS {
					t.Fatalf("picture %d: DTS %v after %v", i, f.DTS, frames[i-1].DTS)
				}
				if f.PTS != time.Duration(nth(f))*40*ms {
					moved++
				}
			}
			if moved > c.moved {
				t.Errorf("%d pictures moved in time", moved)
			}
		})
	}
}

// TestBadPictureOrder: timestamps without sense cost nothing but sense.
func TestBadPictureOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	for i := range 300 {
		ts := uint32(i*3600) + uint32(i*7919%50)*3600
		for _, p := range cam.picture(ts, h264Picture(testTrack, i == 0, 300)) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	if n := len(l.of(true)); n != 300 {
		t.Errorf("%d pictures", n)
	}
}

func TestH265(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h265Format(), ssrc: 3, limit: 600}
	track := &media.Track{Codec: media.H265, Config: [][]byte{testVPS265, testSPS265, testPPS265}}
	for i := range 50 {
		f := &media.Frame{Track: track, Key: i%25 == 0, Data: [][]byte{nalUnit(1500, 0x02, 0x01, 0xd0)}}
		if f.Key {
			f.Data[0] = nalUnit(1500, 0x26, 0x01, 0xaf)
		}
		f.Data[0][1499] = byte(i)
		for _, p := range cam.picture(uint32(i)*3600, f) {
			if i != 10 {
				l.send(1, time.Duration(i)*40*ms, p)
			}
		}
	}
	l.run()
	frames := l.of(true)
	if got := numbers(frames); !slices.Equal(got, slices.Concat(upTo(0, 10), upTo(25, 50))) {
		t.Fatalf("pictures %v", got)
	}
	if tr := frames[0].Track; tr.Codec != media.H265 || tr.Width != 1920 || tr.Height != 1080 || len(tr.Config) != 3 {
		t.Errorf("track %+v", tr)
	}
	if frames[34].Track != frames[0].Track {
		t.Error("the same parameter sets make another track")
	}
}

// TestVideoCodecSwitch: H.264, then H.265 behind the same SSRC, and back.
func TestVideoCodecSwitch(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, ssrc: 3}
	track := &media.Track{Codec: media.H265, Config: [][]byte{testVPS265, testSPS265, testPPS265}}
	for i := range 60 {
		f := h264Picture(testTrack, i%20 == 0, 500)
		cam.format = h264Format(1)
		if i/20 == 1 {
			cam.format = h265Format()
			f = &media.Frame{Track: track, Key: i == 20, Data: [][]byte{nalUnit(1500, 0x02, 0x01, 0xd0)}}
			if f.Key {
				f.Data[0] = nalUnit(1500, 0x26, 0x01, 0xaf)
			}
		}
		for _, p := range cam.picture(uint32(i)*3600, f) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	frames := l.of(true)
	if len(frames) != 60 {
		t.Fatalf("%d pictures", len(frames))
	}
	for i, f := range frames {
		if want := []media.Codec{media.H264, media.H265, media.H264}[i/20]; f.Track.Codec != want || f.Key != (i%20 == 0) {
			t.Fatalf("picture %d: %s", i, describe(f))
		}
	}
}

// TestInStep: sound and picture with different ways through the network, and
// reports, leave in order, close to each other in time.
func TestInStep(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1, ts: 77}
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	const latency = 120 * ms // of the camera
	for i := range 1500 {
		at := time.Duration(i) * 20 * ms
		l.send(0, at+time.Duration(i*7%11)*3*ms, v.packet(160, byte(i)))
		if i%2 == 0 {
			for j, p := range cam.picture(uint32(i)*1800, h264Picture(testTrack, i%100 == 0, 3000)) {
				l.send(1, at+latency+time.Duration(i*5%7)*4*ms+time.Duration(j)*ms, p)
			}
		}
		if i%100 == 99 {
			l.run()
			clock := uint64(3_900_000_000+at/time.Second)<<32 | uint64(at%time.Second)<<32/uint64(time.Second)
			l.r.SenderReport(0, 1, clock, 77+uint32(i)*160, l.start.Add(l.now))
			l.r.SenderReport(1, 3, clock, uint32(i)*1800, l.start.Add(l.now))
		}
	}
	l.run()
	sound, pictures := l.of(false), l.of(true)
	if len(sound) < 1490 || len(pictures) < 740 {
		t.Fatalf("%d frames of sound, %d pictures", len(sound), len(pictures))
	}
	a, p := sound[len(sound)-2], pictures[len(pictures)-1] // both captured at 1498*20 ms
	if d := (a.PTS - p.PTS).Abs(); d > 15*ms {
		t.Errorf("sound at %v, picture at %v", a.PTS, p.PTS)
	}
}

// TestAnotherCamera: a new SSRC, as after a transfer, begins with a key frame
// of its own and goes on in time.
func TestAnotherCamera(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	v := &voice{ssrc: 1}
	a, b := &camera{t: t, format: h264Format(1), ssrc: 3}, &camera{t: t, format: h264Format(1), ssrc: 4, seq: 50000}
	other := &media.Track{Codec: media.H264, Config: [][]byte{spsOf(40, 30, 66, -1), testPPS}}
	for i := range 300 {
		at := time.Duration(i) * 20 * ms
		l.send(0, at, v.packet(160, byte(i)))
		if i%2 > 0 {
			continue
		}
		cam, ts, track, key := a, uint32(i)*1800, testTrack, i == 0
		if i >= 150 {
			cam, ts, track, key = b, uint32(i)*1800+1<<31, other, i == 160 // after five pictures of no use
		}
		f := h264Picture(track, key, 2000)
		f.Data[0][1999] = byte(i)
		for _, p := range cam.picture(ts, f) {
			l.send(1, at, p)
		}
	}
	l.run()
	pictures := l.of(true)
	if len(pictures) != 75+70 || len(l.of(false)) != 300 {
		t.Fatalf("%d pictures, %d frames of sound", len(pictures), len(l.of(false)))
	}
	for i, p := range pictures {
		want := time.Duration(i) * 40 * ms
		if i >= 75 {
			want += 200 * ms
		}
		if (p.PTS-want).Abs() > 5*ms || p.Key != (i == 0 || i == 75) || (p.Track.Width == 640) != (i >= 75) {
			t.Fatalf("picture %d: %s, want %v", i, describe(p), want)
		}
	}
	if st := l.stats(1); st.SSRC != 4 || st.Freezes != 1 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// TestSlidesLine: a second video line is counted and not mixed into the first.
func TestSlidesLine(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	l.r.setFormats(2, sdp.Video, pictureFormats, 0)
	main, slides := &camera{t: t, format: h264Format(1), ssrc: 3}, &camera{t: t, format: h264Format(1), ssrc: 4}
	for i := range 50 {
		for line, c := range map[int]*camera{1: main, 2: slides} {
			for _, p := range c.picture(uint32(i)*3600, h264Picture(testTrack, i == 0, 500*line)) {
				l.send(line, time.Duration(i)*40*ms, p)
			}
		}
	}
	l.run()
	for _, f := range l.of(true) {
		if f.Size() != 500 {
			t.Fatalf("%s: of the slides", describe(f))
		}
	}
	if n := len(l.of(true)); n != 50 || l.stats(2).Packets < 50 || l.stats(2).Frames != 0 || l.r.KeyFrameWanted(2) {
		t.Errorf("%d pictures, slides %+v", n, l.stats(2))
	}
}

// TestLeadingPictures: those in front of the CRA picture with which decoding
// begins refer to pictures that we never had; later ones do not.
func TestLeadingPictures(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h265Format(), ssrc: 3}
	track := &media.Track{Codec: media.H265, Config: [][]byte{testVPS265, testSPS265, testPPS265}}
	for i := range 30 {
		header := []byte{0x02, 0x01, 0xd0}
		switch i % 10 {
		case 0:
			header = []byte{0x2a, 0x01, 0xaf} // CRA
		case 1, 2:
			header = []byte{0x12, 0x01, 0xd0} // RASL
		}
		f := &media.Frame{Track: track, Key: i%10 == 0, Data: [][]byte{nalUnit(300, header...)}}
		f.Data[0][299] = byte(i)
		for _, p := range cam.picture(uint32(i)*3600, f) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	if got := numbers(l.of(true)); !slices.Equal(got, slices.Concat([]int{0}, upTo(3, 30))) {
		t.Errorf("pictures %v", got)
	}
}

// TestForeignParameterSets: sets that no picture uses change no track.
func TestForeignParameterSets(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	for i := range 20 {
		f := h264Picture(testTrack, i%5 == 0, 500)
		if i == 7 {
			pps := &bits{b: []byte{0x68}, n: 8}
			f.Data = append([][]byte{pps.ue(5).ue(7).u(8, 0xff).b}, f.Data...)
		}
		for _, p := range cam.picture(uint32(i)*3600, f) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	frames := l.of(true)
	if len(frames) != 20 || frames[19].Track != frames[0].Track || len(frames[19].Track.Config) != 2 {
		t.Errorf("%d pictures, configuration %x", len(frames), frames[len(frames)-1].Track.Config)
	}
}
