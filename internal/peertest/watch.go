//go:build linux

package peertest

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Clip is a source with a white flash and a beep each second, at the same
// time, the ones of each fifth second longer, so that the pairs are
// unambiguous.
type Clip struct {
	Video string // H.264 in MP4, without sound
	Audio string // WAV, mono, 48 kHz
}

// ClipOptions describe a clip; the zero value is 640x360, 25 fps, 60 s.
type ClipOptions struct {
	Seconds, Width, Height, FrameRate int
}

// flashLength is how long flash and beep last, longFlash those of each fifth
// second.
const (
	flashLength = 0.12
	longFlash   = 0.4
)

// MakeClip makes a clip with ffmpeg.
func MakeClip(t testing.TB, o ClipOptions) Clip {
	t.Helper()
	if o.Seconds == 0 {
		o.Seconds = 60
	}
	if o.Width == 0 {
		o.Width, o.Height = 640, 360
	}
	if o.FrameRate == 0 {
		o.FrameRate = 25
	}
	dir := t.TempDir()
	c := Clip{Video: filepath.Join(dir, "clip.mp4"), Audio: filepath.Join(dir, "clip.wav")}
	on := fmt.Sprintf("lt(mod(t,1),if(lt(mod(t,5),1),%g,%g))", longFlash, flashLength)
	ffmpeg(t, "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc=size=%dx%d:rate=%d:duration=%d", o.Width, o.Height, o.FrameRate, o.Seconds),
		// The picture is darkened so that the flash stands out.
		"-vf", fmt.Sprintf("lutyuv=y=val*0.5,drawbox=color=white:t=fill:enable='%s',format=yuv420p", on),
		"-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-tune", "zerolatency",
		"-g", strconv.Itoa(o.FrameRate), "-b:v", "600k", "-maxrate", "800k", "-bufsize", "400k", c.Video)
	ffmpeg(t, "-f", "lavfi", "-i",
		fmt.Sprintf("aevalsrc='if(%s,0.5*sin(2*PI*1000*t),0)':s=48000:d=%d", on, o.Seconds),
		"-ac", "1", "-c:a", "pcm_s16le", c.Audio)
	return c
}

func ffmpeg(t testing.TB, args ...string) {
	t.Helper()
	if _, errs, err := Run(t, 2*time.Minute, "ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
}

// Measured is what an independent player got of a stream.
type Measured struct {
	VideoCodec, AudioCodec string
	Width, Height          int
	Frames                 int
	FrameRate              float64
	AudioSeconds           float64
	DecodeErrors           string
	Backwards              int             // packets whose DTS does not rise within their track
	Flashes, Beeps         []time.Duration // their starts
	Offsets                []time.Duration // beep - flash of each pair
	File                   string          // what was received, as FLV
}

func (m *Measured) String() string {
	return fmt.Sprintf("%s %dx%d %.1f fps %d frames, %s %.1f s, %d flashes, %d beeps, offset median %v worst %v, errors %q, backwards %d",
		m.VideoCodec, m.Width, m.Height, m.FrameRate, m.Frames, m.AudioCodec, m.AudioSeconds,
		len(m.Flashes), len(m.Beeps), m.Median(), m.Worst(), m.DecodeErrors, m.Backwards)
}

// Median returns the median of |beep - flash|.
func (m *Measured) Median() time.Duration {
	if len(m.Offsets) == 0 {
		return 0
	}
	a := m.absolute()
	return a[len(a)/2]
}

// Worst returns the largest |beep - flash|.
func (m *Measured) Worst() time.Duration {
	if len(m.Offsets) == 0 {
		return 0
	}
	a := m.absolute()
	return a[len(a)-1]
}

func (m *Measured) absolute() []time.Duration {
	a := make([]time.Duration, len(m.Offsets))
	for i, o := range m.Offsets {
		a[i] = o.Abs()
	}
	slices.Sort(a)
	return a
}

// Watch plays url with ffmpeg for a while without decoding, then measures
// what came: see [MeasureFile].
func Watch(t testing.TB, url string, length time.Duration) *Measured {
	t.Helper()
	file := filepath.Join(t.TempDir(), "watched.flv")
	_, errs, err := Run(t, length+30*time.Second, "ffmpeg", "-v", "error", "-nostdin", "-y", "-rw_timeout", "15000000",
		"-i", url, "-t", seconds(length), "-c", "copy", file)
	if err != nil {
		t.Fatalf("watch %s: %v\n%s", url, err, errs)
	}
	return MeasureFile(t, file)
}

// MeasureFile decodes a file and measures picture and sound.
func MeasureFile(t testing.TB, file string) *Measured {
	t.Helper()
	m := &Measured{File: file}
	m.probe(t)
	_, m.DecodeErrors, _ = Run(t, time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-i", file, "-f", "null", "-")
	m.DecodeErrors = tail(m.DecodeErrors, 500)
	if m.Width > 0 {
		m.Flashes = starts(levels(t, file, "v", "signalstats,metadata=print:file=-", "lavfi.signalstats.YAVG"), 180)
	}
	if m.AudioCodec != "" {
		// Windows of 5 ms: the resolution of the beep's start.
		m.Beeps = starts(levels(t, file, "a",
			"aresample=48000,asetnsamples=240,astats=metadata=1:reset=1,ametadata=print:file=-",
			"lavfi.astats.Overall.RMS_level"), -20)
	}
	for _, f := range m.Flashes {
		for _, b := range m.Beeps {
			if (b - f).Abs() < 500*time.Millisecond {
				m.Offsets = append(m.Offsets, b-f)
			}
		}
	}
	return m
}

func (m *Measured) probe(t testing.TB) {
	t.Helper()
	out, errs, err := Run(t, time.Minute, "ffprobe", "-v", "error", "-show_streams", "-show_packets",
		"-show_entries", "packet=stream_index,dts_time,pts_time,duration_time", "-of", "json", m.File)
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", m.File, err, errs)
	}
	var p struct {
		Streams []struct {
			Index         int
			CodecName     string `json:"codec_name"`
			CodecType     string `json:"codec_type"`
			Width, Height int
		}
		Packets []struct {
			StreamIndex int    `json:"stream_index"`
			DTS         string `json:"dts_time"`
		}
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	video, audio := -1, -1
	for _, s := range p.Streams {
		switch s.CodecType {
		case "video":
			video, m.VideoCodec, m.Width, m.Height = s.Index, s.CodecName, s.Width, s.Height
		case "audio":
			audio, m.AudioCodec = s.Index, s.CodecName
		}
	}
	first, last := map[int]float64{}, map[int]float64{}
	for _, k := range p.Packets {
		dts, err := strconv.ParseFloat(k.DTS, 64)
		if err != nil {
			continue
		}
		if before, seen := last[k.StreamIndex]; !seen {
			first[k.StreamIndex] = dts
		} else if dts <= before {
			m.Backwards++
		}
		last[k.StreamIndex] = dts
		if k.StreamIndex == video {
			m.Frames++
		}
	}
	if span := last[video] - first[video]; video >= 0 && span > 0 {
		m.FrameRate = float64(m.Frames-1) / span
	}
	m.AudioSeconds = last[audio] - first[audio]
}

// seconds is a time as ffmpeg's options take it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// number reads the number at the start of text; "-inf" and what is none are
// minus infinity.
func number(text string) float64 {
	field, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := strconv.ParseFloat(field, 64)
	if err != nil || math.IsNaN(v) {
		return math.Inf(-1)
	}
	return v
}

// sample is a value at a time of the file.
type sample struct {
	at    time.Duration
	value float64
}

// levels runs a filter that prints metadata, and returns the values of key.
func levels(t testing.TB, file, stream, filter, key string) []sample {
	t.Helper()
	out, errs, err := Run(t, 2*time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-i", file,
		"-map", "0:"+stream, "-filter:"+stream, filter, "-f", "null", "-")
	if err != nil {
		t.Fatalf("measure %s: %v\n%s", file, err, errs)
	}
	var all []sample
	var at time.Duration
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "pts_time:"); ok {
			at = time.Duration(number(rest) * float64(time.Second))
		} else if value, ok := strings.CutPrefix(line, key+"="); ok {
			all = append(all, sample{at, number(value)})
		}
	}
	return all
}

// starts returns the times at which the values rise over the threshold, at
// least half a second apart. What is above at the very start is not counted:
// its beginning was not seen.
func starts(all []sample, threshold float64) []time.Duration {
	var times []time.Duration
	above := true
	for _, s := range all {
		now := s.value > threshold
		if now && !above && (len(times) == 0 || s.at-times[len(times)-1] > 500*time.Millisecond) {
			times = append(times, s.at)
		}
		above = now
	}
	return times
}

// Expect is what a test asks of a [Measured]; zero fields are not asked.
type Expect struct {
	Width, Height int
	FrameRate     float64       // within 10 %
	MaxOffset     time.Duration // of every pair of flash and beep
	MinFlashes    int
	MinBeeps      int
	NoVideo       bool
	NoAudio       bool
	AudioCodec    string // default "aac"
}

// Check fails the test where m is not what is expected.
func (m *Measured) Check(t testing.TB, e Expect) {
	t.Helper()
	if e.AudioCodec == "" {
		e.AudioCodec = "aac"
	}
	if m.DecodeErrors != "" {
		t.Errorf("decode errors: %s", m.DecodeErrors)
	}
	if m.Backwards > 0 {
		t.Errorf("%d timestamps do not rise", m.Backwards)
	}
	if !e.NoVideo {
		if m.VideoCodec == "" || (e.Width != 0 && (m.Width != e.Width || m.Height != e.Height)) {
			t.Errorf("video is %q %dx%d, want %dx%d", m.VideoCodec, m.Width, m.Height, e.Width, e.Height)
		}
		if e.FrameRate != 0 && math.Abs(m.FrameRate-e.FrameRate) > e.FrameRate/10 {
			t.Errorf("frame rate %.2f, want %.2f within 10 %%", m.FrameRate, e.FrameRate)
		}
	}
	if !e.NoAudio && m.AudioCodec != e.AudioCodec {
		t.Errorf("audio is %q, want %q", m.AudioCodec, e.AudioCodec)
	}
	if len(m.Flashes) < e.MinFlashes || len(m.Beeps) < e.MinBeeps {
		t.Errorf("%d flashes and %d beeps, want at least %d and %d", len(m.Flashes), len(m.Beeps), e.MinFlashes, e.MinBeeps)
	}
	if e.MaxOffset > 0 {
		if len(m.Offsets) == 0 {
			t.Error("no pair of flash and beep")
		} else if m.Worst() > e.MaxOffset {
			t.Errorf("flash and beep are up to %v apart (median %v), want at most %v", m.Worst(), m.Median(), e.MaxOffset)
		}
	}
}
