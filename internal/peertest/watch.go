//go:build linux

package peertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Measured is what an independent player got of a stream.
type Measured struct {
	VideoCodec, AudioCodec string
	Width, Height          int
	SampleRate, Channels   int
	Frames                 int
	FrameRate              float64
	AudioSeconds           float64
	Gap                    time.Duration // the longest between two pictures
	DecodeErrors           string        // what the decoder said, at most the last 500 bytes
	ErrorCount             int           // how many lines it said
	Backwards              int           // packets whose DTS does not rise within their track
	Frozen                 time.Duration // the picture did not change, for at least half a second each time
	Silent                 time.Duration // no sound, for at least 1.5 s each time: longer than between two beeps
	Flashes, Beeps         []time.Duration
	Offsets                []time.Duration // beep - flash of each pair
	File                   string          // what was received
}

func (m *Measured) String() string {
	return fmt.Sprintf("%s %dx%d %.1f fps %d frames gap %v, %s %.1f s, %d flashes, %d beeps, %d pairs, offset median %v worst %v, "+
		"frozen %v, silent %v, %d errors %q, backwards %d",
		m.VideoCodec, m.Width, m.Height, m.FrameRate, m.Frames, m.Gap, m.AudioCodec, m.AudioSeconds,
		len(m.Flashes), len(m.Beeps), len(m.Offsets), m.Median(), m.Worst(), m.Frozen, m.Silent,
		m.ErrorCount, m.DecodeErrors, m.Backwards)
}

// Median returns the median of beep - flash: positive if the sound is late.
func (m *Measured) Median() time.Duration { return median(m.Offsets) }

// Worst returns the largest beep - flash, by its amount.
func (m *Measured) Worst() time.Duration {
	if len(m.Offsets) == 0 {
		return 0
	}
	return slices.MaxFunc(m.Offsets, func(a, b time.Duration) int { return cmp.Compare(a.Abs(), b.Abs()) })
}

// Watch plays url with ffmpeg for a while without decoding, then measures
// what came: see [MeasureFile].
func Watch(t testing.TB, url string, length time.Duration) *Measured {
	t.Helper()
	file := filepath.Join(t.TempDir(), "watched.flv")
	_, errs, err := Run(t, length+60*time.Second, "ffmpeg", "-v", "error", "-nostdin", "-y", "-rw_timeout", "15000000",
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
	m.decode(t)
	return m
}

// probe reads the packets without decoding them.
func (m *Measured) probe(t testing.TB) {
	t.Helper()
	out, errs, err := Run(t, time.Minute, "ffprobe", "-v", "error", "-show_streams", "-show_packets",
		"-show_entries", "packet=stream_index,dts_time", "-of", "json", m.File)
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", m.File, err, errs)
	}
	var p probed
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	video, audio := -1, -1
	for _, s := range p.Streams {
		switch s.CodecType {
		case "video":
			video, m.VideoCodec, m.Width, m.Height = s.Index, s.CodecName, s.Width, s.Height
		case "audio":
			audio, m.AudioCodec, m.Channels = s.Index, s.CodecName, s.Channels
			m.SampleRate, _ = strconv.Atoi(s.SampleRate)
		}
	}
	v, a := p.times(video), p.times(audio)
	m.Backwards = v.backwards + a.backwards
	m.Frames, m.Gap = v.count, v.gap
	if span := (v.last - v.first).Seconds(); span > 0 {
		m.FrameRate = float64(v.count-1) / span
	}
	m.AudioSeconds = (a.last - a.first).Seconds()
}

// probed is what ffprobe prints.
type probed struct {
	Streams []struct {
		Index         int
		CodecName     string `json:"codec_name"`
		CodecType     string `json:"codec_type"`
		Width, Height int
		Channels      int
		SampleRate    string `json:"sample_rate"`
	}
	Packets []struct {
		StreamIndex int    `json:"stream_index"`
		DTS         string `json:"dts_time"`
	}
}

// track is what the times of a track's packets tell.
type track struct {
	count, backwards int
	first, last, gap time.Duration
}

func (p *probed) times(index int) (tr track) {
	for _, k := range p.Packets {
		at, err := strconv.ParseFloat(k.DTS, 64) // "N/A" if there is none
		if k.StreamIndex != index || err != nil {
			continue
		}
		dts := time.Duration(at * float64(time.Second)).Round(time.Microsecond)
		switch {
		case tr.count == 0:
			tr.first = dts
		case dts <= tr.last:
			tr.backwards++
		default:
			tr.gap = max(tr.gap, dts-tr.last)
		}
		tr.last = dts
		tr.count++
	}
	return tr
}

// decode measures what the pictures and the sound are.
func (m *Measured) decode(t testing.TB) {
	t.Helper()
	if m.VideoCodec == "" && m.AudioCodec == "" {
		return
	}
	folder := t.TempDir()
	pictures, sounds := filepath.Join(folder, "pictures"), filepath.Join(folder, "sounds")
	args := []string{"-v", "error", "-nostdin", "-i", m.File}
	if m.VideoCodec != "" {
		args = append(args, "-map", "0:v:0", "-vf", "freezedetect=n=0.0005:d=0.5,signalstats,metadata=print:file="+pictures)
	}
	if m.AudioCodec != "" {
		// Windows of 5 ms: the resolution of the beep's start.
		args = append(args, "-map", "0:a:0", "-af", "aresample=48000,asetnsamples=240,silencedetect=noise=-40dB:d=1.5:mono=0,"+
			"astats=metadata=1:reset=1,ametadata=print:file="+sounds)
	}
	// Times as they are: rounded to a frame rate that ffmpeg guesses, two of a
	// live stream may be the same, of which it complains.
	_, errs, err := Run(t, 2*time.Minute, "ffmpeg", append(args, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")...)
	if err != nil {
		errs += "\n" + err.Error()
	}
	m.ErrorCount = len(strings.FieldsFunc(errs, func(r rune) bool { return r == '\n' || r == '\r' }))
	m.DecodeErrors = tail(errs, 500)
	v := readMetadata(t, pictures)
	m.Frozen = v.spans("lavfi.freezedetect.freeze_start", "lavfi.freezedetect.freeze_duration")
	flashes := pulses(v.values("lavfi.signalstats.YAVG"), 180)
	a := readMetadata(t, sounds)
	m.Silent = a.spans("lavfi.silence_start", "lavfi.silence_duration")
	beeps := pulses(a.values("lavfi.astats.Overall.RMS_level"), -20)
	m.Offsets = pair(flashes, beeps)
	for _, f := range flashes {
		m.Flashes = append(m.Flashes, f.at)
	}
	for _, b := range beeps {
		m.Beeps = append(m.Beeps, b.at)
	}
}
