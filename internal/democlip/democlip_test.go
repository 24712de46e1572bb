package democlip_test

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
)

// read returns the frames up to that time.
func read(t *testing.T, until time.Duration) (video, audio []*media.Frame) {
	t.Helper()
	f := democlip.Open()
	t.Cleanup(func() { f.Close() })
	for {
		frame, err := f.ReadFrame(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case frame.DTS > until:
			return video, audio
		case frame.Track.Codec.Video():
			video = append(video, frame)
		default:
			audio = append(audio, frame)
		}
	}
}

// TestClip holds what the clip promises to those who play it.
func TestClip(t *testing.T) {
	f := democlip.Open()
	defer f.Close()
	tracks := f.Tracks()
	if len(tracks) != 2 {
		t.Fatalf("%d tracks", len(tracks))
	}
	v, a := tracks[0], tracks[1]
	if v.Codec != media.H264 || v.Width != 640 || v.Height != 360 || len(v.Config) != 2 {
		t.Errorf("video is %+v", v)
	}
	// ITU-T H.264 section A.2.1.1: profile_idc 66 with constraint_set1_flag.
	if sps := v.Config[0]; sps[1] != 66 || sps[2]&0x40 == 0 {
		t.Errorf("profile %x %x is not Constrained Baseline", sps[1], sps[2])
	}
	if a.Codec != media.Opus || a.Channels != 1 || a.ClockRate != 48000 {
		t.Errorf("audio is %+v", a)
	}
	if f.Duration() != 12*time.Second {
		t.Errorf("it lasts %v: seconds would not be the same in each round", f.Duration())
	}
	if democlip.Size() > 400_000 {
		t.Errorf("it has %d bytes", democlip.Size())
	}
}

// TestSeam plays three rounds: the frames follow each other as if there were
// none, and picture and sound keep their distance.
func TestSeam(t *testing.T) {
	const rounds = 3
	video, audio := read(t, rounds*12*time.Second-time.Millisecond)
	if len(video) != rounds*300 || len(audio) != rounds*600 {
		t.Errorf("%d pictures and %d packets in %d rounds", len(video), len(audio), rounds)
	}
	check := func(frames []*media.Frame, step time.Duration) {
		t.Helper()
		for i, f := range frames {
			want := frames[0].DTS + time.Duration(i)*step
			// 1 us: times are rounded in each round from its start.
			if (f.DTS-want).Abs() > time.Microsecond || f.PTS != f.DTS {
				t.Fatalf("frame %d at %v, PTS %v, want %v", i, f.DTS, f.PTS, want)
			}
		}
	}
	check(video, 40*time.Millisecond)
	check(audio, 20*time.Millisecond)
	for i, f := range video {
		if f.Key != (i%25 == 0) {
			t.Errorf("picture %d: key frame is %v", i, f.Key)
		}
	}
	// The encoder's delay is 6.5 ms, so the first packet is that much early.
	if lead := video[0].DTS - audio[0].DTS; lead != 6500*time.Microsecond {
		t.Errorf("sound is %v before the picture", lead)
	}
}
