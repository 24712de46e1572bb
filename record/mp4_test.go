package record

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// got is a frame that was read from a file.
type got struct {
	video    bool
	key      bool
	dts, pts time.Duration
	data     []byte // NAL units without parameter sets, joined
}

func joined(nals [][]byte) []byte {
	var b []byte
	for _, n := range nals {
		if !isParameterSet(false, n[0]) && n[0]&0x1f != 9 {
			b = append(append(b, 0, 0, 1), n...)
		}
	}
	return b
}

func wantedOf(frames []*media.Frame, base time.Duration) (list []got) {
	for _, f := range frames {
		g := got{video: f.Track.Codec.Video(), key: f.Key, dts: f.DTS - base, pts: f.PTS - base}
		if g.video {
			g.data = joined(f.Data)
		} else {
			g.data, g.key = f.Data[0], true
		}
		list = append(list, g)
	}
	return list
}

// readFragmented reads a fragmented MP4 with a reader that is not ours.
func readFragmented(t *testing.T, b []byte) (fmp4.Init, []got) {
	t.Helper()
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatalf("init: %v", err)
	}
	moof := bytes.Index(b, []byte("moof")) - 4
	if moof < 0 {
		t.Fatal("no fragments")
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b[moof:]); err != nil {
		t.Fatalf("fragments: %v", err)
	}
	tracks := map[int]*fmp4.InitTrack{}
	for _, tr := range init.Tracks {
		tracks[tr.ID] = tr
	}
	var list []got
	for _, p := range parts {
		for _, pt := range p.Tracks {
			at := pt.BaseTime
			tr := tracks[pt.ID]
			for _, s := range pt.Samples {
				g := got{video: tr.Codec.IsVideo(), key: !s.IsNonSyncSample, dts: ticksTo(at, tr.TimeScale)}
				g.pts = g.dts + ticksTo(uint64(s.PTSOffset), tr.TimeScale)
				g.data = sampleData(t, g.video, s.Payload)
				list = append(list, g)
				at += uint64(s.Duration)
			}
		}
	}
	return init, list
}

func sampleData(t *testing.T, video bool, payload []byte) []byte {
	if !video {
		return payload
	}
	var nals h264.AVCC
	if err := nals.Unmarshal(payload); err != nil {
		t.Fatal(err)
	}
	return joined(nals)
}

// readPlain reads a plain MP4 with a reader that is not ours.
func readPlain(t *testing.T, b []byte) (pmp4.Presentation, []got) {
	t.Helper()
	var p pmp4.Presentation
	if err := p.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	var list []got
	for _, tr := range p.Tracks {
		at := uint64(tr.TimeOffset)
		for _, s := range tr.Samples {
			payload, err := s.GetPayload()
			if err != nil {
				t.Fatal(err)
			}
			g := got{video: tr.Codec.IsVideo(), key: !s.IsNonSyncSample, dts: ticksTo(at, tr.TimeScale)}
			g.pts = g.dts + ticksTo(uint64(s.PTSOffset), tr.TimeScale)
			g.data = sampleData(t, g.video, payload)
			list = append(list, g)
			at += uint64(s.Duration)
		}
	}
	return p, list
}

// compareFrames compares the frames of a kind in their order.
func compareFrames(list, want []got) error {
	for _, video := range []bool{true, false} {
		a, b := ofKind(list, video), ofKind(want, video)
		if len(a) != len(b) {
			return fmt.Errorf("video %v: %d frames, want %d", video, len(a), len(b))
		}
		for i := range a {
			const close = time.Millisecond
			if a[i].key != b[i].key || !bytes.Equal(a[i].data, b[i].data) ||
				(a[i].dts-b[i].dts).Abs() > close || (a[i].pts-b[i].pts).Abs() > close {
				return fmt.Errorf("video %v, frame %d: %v %v %v %d bytes, want %v %v %v %d bytes", video, i,
					a[i].key, a[i].dts, a[i].pts, len(a[i].data), b[i].key, b[i].dts, b[i].pts, len(b[i].data))
			}
		}
	}
	return nil
}

func ofKind(list []got, video bool) (of []got) {
	for _, g := range list {
		if g.video == video {
			of = append(of, g)
		}
	}
	return of
}

// streams are media that a file takes.
var streams = []struct {
	name       string
	generators func() []mediatest.Generator
}{
	{"H264 and AAC", func() []mediatest.Generator { return []mediatest.Generator{&mediatest.Video{}, aacAudio()} }},
	{"H264 and Opus", func() []mediatest.Generator { return []mediatest.Generator{&mediatest.Video{}, opusAudio()} }},
	{"H264", func() []mediatest.Generator { return []mediatest.Generator{&mediatest.Video{}} }},
	{"AAC", func() []mediatest.Generator { return []mediatest.Generator{aacAudio()} }},
	{"Opus", func() []mediatest.Generator { return []mediatest.Generator{opusAudio()} }},
}

func TestFragmentedMP4(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			r, l := testRecorder(t)
			frames := mediatest.Merge(5*time.Second, s.generators()...)
			paths := record(t, r, l, Options{}, frames)
			if len(paths) != 1 {
				t.Fatalf("files %v", paths)
			}
			init, list := readFragmented(t, readAll(t, paths[0]))
			if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
				t.Error(err)
			}
			if n := len(s.generators()); len(init.Tracks) != n {
				t.Errorf("%d tracks, want %d", len(init.Tracks), n)
			}
		})
	}
}

func TestPlainMP4(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			r, l := testRecorder(t)
			r.Finalize = true
			frames := mediatest.Merge(5*time.Second, s.generators()...)
			paths := record(t, r, l, Options{}, frames)
			if len(paths) != 1 {
				t.Fatalf("files %v", paths)
			}
			b := readAll(t, paths[0])
			if moov, mdat := bytes.Index(b, []byte("moov")), bytes.Index(b, []byte("mdat")); moov > mdat || moov < 0 {
				t.Errorf("moov at %d, mdat at %d", moov, mdat)
			}
			p, list := readPlain(t, b)
			if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
				t.Error(err)
			}
			for _, tr := range p.Tracks {
				if c, ok := tr.Codec.(*codecs.H264); ok && len(c.SPS) == 0 {
					t.Error("no SPS")
				}
			}
		})
	}
}
