package gateway_test

import (
	"encoding/binary"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// writeTone makes a WAV file of a sine at half of full scale.
func writeTone(t testing.TB, file string, hz float64, length time.Duration) {
	t.Helper()
	const rate = 16000
	n := int(length.Seconds() * rate)
	b := append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(36+2*n))...)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, 2*rate)
	b = append(b, "\x02\x00\x10\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(2*n))
	for i := range n {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(0.3*32767*math.Sin(2*math.Pi*hz*float64(i)/rate))))
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The tones of the files, in Hz.
const (
	lowTone  = 400
	highTone = 1500
)

// tones tells which of the tones are in the last 400 ms of A-law that the phone
// got, as "low", "high", "low high" or "".
func (p *phone) tones() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, err := g711.ALaw{}.NewDecoder(&media.Track{Codec: media.PCMA, ClockRate: 8000, Channels: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	var pcm []float32
	for i := len(p.frames) - 1; i >= 0 && len(pcm) < 3200; i-- {
		f := p.frames[i].frame
		if f.Track.Codec != media.PCMA || time.Since(p.frames[i].at) > 2*time.Second {
			continue
		}
		more, err := d.Decode(nil, f.Data[0])
		if err != nil {
			p.t.Fatal(err)
		}
		pcm = append(more, pcm...)
	}
	var found []string
	for _, c := range []struct {
		name string
		hz   float64
	}{{"low", lowTone}, {"high", highTone}} {
		var re, im float64
		for i, v := range pcm {
			a := 2 * math.Pi * c.hz * float64(i) / 8000
			re += float64(v) * math.Cos(a)
			im += float64(v) * math.Sin(a)
		}
		if 2*math.Hypot(re, im)/float64(max(len(pcm), 1)) > 0.2 {
			found = append(found, c.name)
		}
	}
	return strings.Join(found, " ")
}

// TestInjectSoundOver plays a sound over a stream: in the place of its sound,
// and added to it. What was there goes on afterwards.
func TestInjectSoundOver(t *testing.T) {
	t.Parallel()
	folder := ""
	g := injecting(t, func(c *gateway.Config) { folder = c.MediaFolder })
	writeTone(t, filepath.Join(folder, "low.wav"), lowTone, 3*time.Second)
	writeTone(t, filepath.Join(folder, "high.wav"), highTone, 3*time.Second)
	p := g.dial(&sdp.Capabilities{Audio: sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: media.PCMA}}}})
	hears := func(want string) {
		t.Helper()
		eventually(t, "hears "+want, func() bool { return p.tones() == want })
	}
	sound := func(more map[string]any) map[string]any {
		more["fileName"] = "high.wav"
		return p.body(more)
	}
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://low.wav", "loop": true}))
	hears("low")
	g.must("/call/inject_sound", sound(map[string]any{}))
	hears("high")
	hears("low") // at its end
	g.must("/call/inject_sound", sound(map[string]any{"mix": true, "loop": "true"}))
	hears("low high")
	if text := g.must("/call/inject_stream/find", p.body(nil)); !strings.Contains(text, `"sound":{`) || !strings.Contains(text, "vod://low.wav") {
		t.Errorf("status %s", text)
	}
	if status, text := g.post("/call/inject_sound", sound(map[string]any{})); status != http.StatusConflict {
		t.Errorf("a second sound: %d %s", status, text)
	}
	g.must("/call/inject_sound/terminate", p.body(nil))
	hears("low")
	if status, _ := g.post("/call/inject_sound/terminate", p.body(nil)); status != http.StatusNotFound {
		t.Errorf("no sound: %d", status)
	}
	g.must("/call/inject_sound", sound(map[string]any{"mix": true, "loop": true}))
	hears("low high")
	p.session().Injection().Stop() // what is below ends first
	hears("high")
	g.must("/call/inject_stream/terminate", p.body(nil))
	hears("")
	g.must("/call/inject_sound", sound(map[string]any{"mix": true})) // alone
	hears("high")
	for typ, want := range map[trunkcast.EventType]int{trunkcast.InjectionStarted: 5, trunkcast.InjectionEnded: 4, trunkcast.InjectionFailed: 0} {
		eventually(t, typ.String(), func() bool { return g.count(typ) == want })
	}
}

// TestInjectSoundPictures has the pictures of a clip go on while a sound is
// played in the place of its own.
func TestInjectSoundPictures(t *testing.T) {
	t.Parallel()
	folder := ""
	g := injecting(t, func(c *gateway.Config) { folder = c.MediaFolder })
	writeTone(t, filepath.Join(folder, "high.wav"), highTone, time.Second)
	clip := indexClip(t, demoClip)
	p := g.dial(&sdp.Capabilities{Audio: sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: media.PCMA}}}})
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "pictures", func() bool { return len(p.pictures(begun)) >= 10 })
	g.must("/call/inject_sound", p.body(map[string]any{"fileName": "high.wav"}))
	eventually(t, "the tone", func() bool { return p.tones() == "high" })
	eventually(t, "its end", func() bool { return p.session().SoundOver() == nil })
	got := len(p.pictures(begun))
	eventually(t, "pictures after it", func() bool { return len(p.pictures(begun)) >= got+10 })
	at := clip.positions(p.pictures(begun))
	for i := 1; i < len(at); i++ {
		if at[i]-at[i-1] != 40*time.Millisecond {
			t.Errorf("after the picture of %v comes that of %v", at[i-1], at[i])
		}
	}
}

// TestInjectSoundNone asks a call without sound to play one.
func TestInjectSoundNone(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	p := g.dial(&sdp.Capabilities{Audio: sdp.MediaCapabilities{Off: true}})
	for _, mix := range []bool{false, true} {
		status, text := g.post("/call/inject_sound", p.body(map[string]any{"fileName": "clip.mp4", "mix": mix}))
		if status != http.StatusConflict || !strings.Contains(text, "sound") {
			t.Errorf("mix %v: %d %s", mix, status, text)
		}
	}
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "pictures", func() bool { return len(p.pictures(begun)) > 10 })
}

// TestInjectEvents tells the start, the end with its reason, and the failure of
// injections, as events and in the log.
func TestInjectEvents(t *testing.T) {
	t.Parallel()
	folder := ""
	g := injecting(t, func(c *gateway.Config) { folder = c.MediaFolder })
	writeTone(t, filepath.Join(folder, "short.wav"), lowTone, 300*time.Millisecond)
	p := g.dial(nil)
	if status, _ := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://missing.mp4"})); status != http.StatusNotFound {
		t.Errorf("missing: %d", status)
	}
	g.must("/call/inject_sound", p.body(map[string]any{"fileName": "short.wav"}))
	eventually(t, "its end", func() bool { return g.has(trunkcast.InjectionEnded) })
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	g.must("/call/inject_stream/terminate", p.body(nil))
	g.mu.Lock()
	var told []string
	for _, e := range g.events {
		if i := e.Injection; i != nil {
			text := e.Type.String() + " " + i.Name()
			if e.Err != nil {
				text += ": " + e.Err.Error()
			}
			told = append(told, text)
		}
	}
	g.mu.Unlock()
	want := []string{
		"injection_failed vod://missing.mp4: inject: no such source: file missing.mp4: no such file or directory",
		"injection_started vod://short.wav", "injection_ended vod://short.wav: EOF",
		"injection_started vod://clip.mp4", "injection_ended vod://clip.mp4: media: closed",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range []string{
		`msg="injection failed"`, `msg="injection started"`, `msg="injection ended"`, "source=vod://short.wav", "reason=EOF",
	} {
		g.logged(line)
	}
}
