package record

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// readTransport reads a transport stream with the parameter sets that came.
func readTransport(t *testing.T, b []byte) (list []got, sets int) {
	t.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(b)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	at := func(n int64) time.Duration { return ticksTo(uint64(n-transportStart), transportClock) }
	for _, tr := range r.Tracks() {
		switch c := tr.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(tr, func(pts, dts int64, au [][]byte) error {
				g := got{video: true, dts: at(dts), pts: at(pts), data: joined(au)}
				for _, n := range au {
					g.key = g.key || n[0]&0x1f == 5
					if isParameterSet(false, n[0]) {
						sets++
					}
				}
				list = append(list, g)
				return nil
			})
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(tr, func(pts int64, aus [][]byte) error {
				for _, au := range aus {
					list = append(list, got{key: true, dts: at(pts), pts: at(pts), data: au})
				}
				return nil
			})
		case *codecs.Opus:
			r.OnDataOpus(tr, func(pts int64, packets [][]byte) error {
				for _, p := range packets {
					list = append(list, got{key: true, dts: at(pts), pts: at(pts), data: p})
				}
				return nil
			})
		default:
			t.Fatalf("track of %T", c)
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return list, sets
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransport(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			r, l := testRecorder(t)
			r.Format, r.Finalize = MPEGTS, true // which is for MP4 only
			frames := mediatest.Merge(5*time.Second, s.generators()...)
			for _, f := range frames {
				if f.Track == opusTrack { // a packet that says how long it is: 20 ms of CELT
					f.Data = [][]byte{append([]byte{31 << 3}, f.Data[0][:50]...)}
				}
			}
			paths := record(t, r, l, Options{}, frames)
			if len(paths) != 1 {
				t.Fatalf("files %v", paths)
			}
			list, _ := readTransport(t, readAll(t, paths[0]))
			if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTransportSets has the parameter sets of each size before its key frames.
func TestTransportSets(t *testing.T) {
	video := &mediatest.Video{GOP: 25}
	frames := mediatest.Merge(2*time.Second, video)
	video.Track = mediatest.H264Track(640, 480)
	frames = append(frames, mediatest.Merge(4*time.Second, video)...)
	m, err := newTransport(frames[0].Track, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		m.write(f, f.PTS, f.DTS)
	}
	b, err := m.flush(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, sets := readTransport(t, b); sets != 8 {
		t.Errorf("%d parameter sets, want an SPS and a PPS for each of 4 key frames", sets)
	}
	if !bytes.Contains(b, video.Track.Config[0]) {
		t.Error("no SPS of the second size")
	}
	if _, err := newTransport(nil, &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1}); err == nil {
		t.Error("AAC without its configuration")
	}
}
