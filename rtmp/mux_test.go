package rtmp

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// muxed turns frames into tags.
func muxed(t testing.TB, m *muxer, frames ...*media.Frame) []tag {
	t.Helper()
	var tags []tag
	out := tagBuffer{emit: func(kind byte, at uint32, p []byte) {
		g, err := newTag(kind, at, p)
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, g)
	}}
	for _, f := range frames {
		if err := m.frame(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return tags
}

func TestMuxRoundTrip(t *testing.T) {
	for _, video := range []*media.Track{h264Track(spsHD), h264Track(spsSD), h265Track()} {
		for _, codec := range []media.Codec{media.AAC, media.Opus, media.PCMA, media.PCMU} {
			t.Run(string(video.Codec)+" "+string(codec), func(t *testing.T) {
				c := clip{video: video, audio: audioTrack(codec), gop: 5}
				var sent []*media.Frame
				for range 20 {
					sent = append(sent, c.next()...)
				}
				// As if with B-frames.
				for _, f := range sent {
					if f.Track == video && !f.Key {
						f.PTS += 80 * time.Millisecond
					}
				}
				var m muxer
				tags := muxed(t, &m, sent...)
				headers := 0
				var d demuxer
				var got []*media.Frame
				for _, g := range tags {
					if g.config {
						headers++
					}
					f, err := d.tag(g.kind, g.time, g.payload)
					if err != nil {
						t.Fatal(err)
					}
					if f != nil {
						got = append(got, f)
						if g.enhanced != enhanced(f.Track.Codec) {
							t.Errorf("enhanced is %v for %s", g.enhanced, f.Track.Codec)
						}
					}
				}
				if want := 1 + map[bool]int{true: 1}[codec == media.AAC || codec == media.Opus]; headers != want {
					t.Errorf("%d sequence headers, want %d", headers, want)
				}
				if len(got) != len(sent) {
					t.Fatalf("%d frames, want %d", len(got), len(sent))
				}
				for i, f := range got {
					s := sent[i]
					if f.PTS != s.PTS || f.DTS != s.DTS || f.Key != s.Key || !slices.EqualFunc(f.Data, s.Data, bytes.Equal) {
						t.Fatalf("frame %d: got %+v, want %+v", i, f, s)
					}
					if f.Track.Codec != s.Track.Codec || f.Track.Channels != s.Track.Channels ||
						f.Track.ClockRate != s.Track.ClockRate || !slices.EqualFunc(f.Track.Config, s.Track.Config, bytes.Equal) {
						t.Fatalf("frame %d: track %+v, want %+v", i, f.Track, s.Track)
					}
				}
				if w := got[0].Track.Width; w != 1920 && w != 640 && w != 960 {
					t.Errorf("width %d", w)
				}
			})
		}
	}
}

// TestMuxNewTrack: a sequence header comes with each change of the
// configuration and not with a change of the pointer alone.
func TestMuxNewTrack(t *testing.T) {
	var m muxer
	frame := func(track *media.Track, ms int) *media.Frame {
		at := time.Duration(ms) * time.Millisecond
		return &media.Frame{Track: track, PTS: at, DTS: at, Key: true, Data: [][]byte{{0x65, 1}}}
	}
	kinds := ""
	for _, g := range muxed(t, &m, frame(h264Track(spsHD), 0), frame(h264Track(spsHD), 40), frame(h264Track(spsSD), 80),
		frame(h265Track(), 120), frame(h264Track(spsHD), 160)) {
		if g.config {
			kinds += "C"
		} else {
			kinds += "f"
		}
	}
	if kinds != "CffCfCfCf" {
		t.Errorf("got %s", kinds)
	}
}

// TestMuxTimes: times never go back within a kind, and go over the 24-bit and
// the 32-bit boundary.
func TestMuxTimes(t *testing.T) {
	var m muxer
	track := audioTrack(media.PCMA)
	var d demuxer
	times := []int64{-5, 0, 20, 15, 40, 0xfffff0, 0x1000004, 0xfffffff0, 0x100000004}
	want := []uint32{0, 0, 20, 20, 40, 0xfffff0, 0x1000004, 0xfffffff0, 4}
	last := time.Duration(-1)
	for i, ms := range times {
		at := time.Duration(ms) * time.Millisecond
		g := muxed(t, &m, &media.Frame{Track: track, PTS: at, DTS: at, Data: [][]byte{{1}}})[0]
		if g.time != want[i] {
			t.Errorf("%d ms is sent as %d, want %d", ms, g.time, want[i])
		}
		f, err := d.tag(g.kind, g.time, g.payload)
		if err != nil || f.DTS < last {
			t.Errorf("%d ms is read as %v after %v, %v", ms, f.DTS, last, err)
		}
		last = f.DTS
	}
	if m.clamped != 1 {
		t.Errorf("%d times clamped, want 1", m.clamped)
	}
}

func TestTagClock(t *testing.T) {
	var c tagClock
	for i, step := range []struct {
		kind byte
		at   uint32
		want time.Duration // ms
	}{
		{kindVideo, 5000, 0}, {kindAudio, 5010, 10}, {kindVideo, 5040, 40}, {kindAudio, 5030, 30},
		{kindAudio, 5020, 30},                      // never back
		{kindVideo, 100, 60},                       // the publisher was restarted
		{kindAudio, 120, 80},                       // with both tracks
		{kindVideo, 120 + 70_000, 100},             // a jump of a minute and more is no pause
		{kindVideo, 120 + 70_000 + 30_000, 30_100}, // half a minute is one
	} {
		if got := c.time(step.kind, step.at); got != step.want*time.Millisecond {
			t.Errorf("step %d: %v, want %v", i, got, step.want*time.Millisecond)
		}
	}
	// Sound that is two seconds behind the picture is no new beginning.
	var lag tagClock
	for at := uint32(0); at < 10_000; at += 40 {
		v := lag.time(kindVideo, at+2000)
		a := lag.time(kindAudio, at)
		if at > 2000 && v-a != 2*time.Second {
			t.Fatalf("at %d ms: video %v, audio %v", at, v, a)
		}
	}
	var w tagClock
	w.time(kindVideo, 0xfffffff0)
	if got := w.time(kindVideo, 0x10); got != 32*time.Millisecond {
		t.Errorf("over the wrap: %v", got)
	}
}

// TestInBandParameterSets: what comes among the NAL units goes to the track.
func TestInBandParameterSets(t *testing.T) {
	var m muxer
	first := muxed(t, &m, &media.Frame{Track: h264Track(spsHD), Key: true, Data: [][]byte{{0x65, 1}}})
	change := muxed(t, &m, &media.Frame{
		Track: m.video, PTS: time.Second, DTS: time.Second, Key: true,
		Data: [][]byte{{9, 0xf0}, spsSD, ppsAny, {0x65, 2}},
	})
	var d demuxer
	var frames []*media.Frame
	for _, g := range append(first, change...) {
		f, err := d.tag(g.kind, g.time, g.payload)
		if err != nil {
			t.Fatal(err)
		}
		if f != nil {
			frames = append(frames, f)
		}
	}
	if len(frames) != 2 || frames[0].Track == frames[1].Track || frames[1].Track.Width != 640 ||
		len(frames[1].Data) != 1 || frames[1].Data[0][1] != 2 {
		t.Errorf("got %+v", frames)
	}
}

func TestMuxRefuses(t *testing.T) {
	var m muxer
	out := tagBuffer{emit: func(byte, uint32, []byte) { t.Error("something was written") }}
	var unsupported *UnsupportedError
	if err := m.frame(&out, &media.Frame{Track: audioTrack(media.G722), Data: [][]byte{{1}}}); !errors.As(err, &unsupported) || unsupported.Codec != media.G722 {
		t.Errorf("G.722: %v", err)
	}
	for _, bad := range []*media.Track{
		{Codec: media.H264}, {Codec: media.H264, Config: [][]byte{spsHD}}, {Codec: media.H265, Config: [][]byte{vpsHEVC, {66, 1, 1}, ppsHEVC}},
	} {
		if err := m.frame(&out, &media.Frame{Track: bad, Data: [][]byte{{0x65}}}); !errors.Is(err, codecconfig.ErrNoParameterSets) {
			t.Errorf("%s without parameter sets: %v", bad.Codec, err)
		}
	}
	if err := m.frame(&out, &media.Frame{Track: &media.Track{Codec: media.AAC}, Data: [][]byte{{1}}}); !errors.Is(err, errNoAudioConfig) {
		t.Errorf("AAC without configuration: %v", err)
	}
}

func FuzzDemuxer(f *testing.F) {
	var m muxer
	for _, video := range []*media.Track{h264Track(spsSD), h265Track()} {
		c := clip{video: video, audio: audioTrack(media.Opus), gop: 2}
		for _, g := range muxed(f, &m, append(c.next(), c.next()...)...) {
			f.Add(g.kind, g.payload, []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65})
		}
	}
	f.Add(byte(kindAudio), append([]byte{0xaf, 0}, 0x11, 0x88), []byte{0xaf, 1, 2})
	f.Fuzz(func(t *testing.T, kind byte, a, b []byte) {
		var last [2]time.Duration
		n := allocated(func() {
			var d demuxer
			for i, p := range [][]byte{a, b, a, b} {
				_, _ = newTag(kind, uint32(i), p)
				fr, err := d.tag(kind, uint32(i*40), p)
				if err != nil && !errors.Is(err, ErrProtocol) {
					t.Errorf("error of another kind: %v", err)
				}
				if fr == nil {
					continue
				}
				k := 0
				if fr.Track.Codec.Audio() {
					k = 1
				}
				if fr.DTS < last[k] || fr.PTS < 0 || fr.Size() > len(p) || fr.Size() == 0 {
					t.Errorf("frame %+v from %d bytes after %v", fr, len(p), last[k])
				}
				last[k] = fr.DTS
			}
		})
		if most := uint64(64<<10 + 256*(len(a)+len(b))); n > most {
			t.Errorf("%d bytes allocated for %d", n, len(a)+len(b))
		}
	})
}

// TestChangeIsSaidTwice: after a change of the picture's size the parameter
// sets stand in key frames too, as some players keep the first sequence header.
func TestChangeIsSaidTwice(t *testing.T) {
	var m muxer
	frame := func(track *media.Track, at time.Duration) []byte {
		tags := muxed(t, &m, &media.Frame{Track: track, PTS: at, DTS: at, Key: true, Data: [][]byte{{0x65, 1}}})
		return tags[len(tags)-1].payload
	}
	hd, sd := h264Track(spsHD), h264Track(spsSD)
	if p := frame(hd, 0); bytes.Contains(p, spsHD) {
		t.Errorf("parameter sets in the first key frame: %x", p)
	}
	if p := frame(sd, time.Second); !bytes.Contains(p, spsSD) || !bytes.HasSuffix(p, []byte{0x65, 1}) {
		t.Errorf("no parameter sets after the change: %x", p)
	}
}
