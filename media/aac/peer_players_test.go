//go:build peers

package aac

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

// playersTake are the formats that players are given.
var playersTake = []struct {
	rate, channels int
	codec          Codec
}{
	{48000, 1, Codec{PlainNoise: true}},
	{44100, 2, Codec{PlainNoise: true, LowDelay: true, Rate: AverageRate}},
	{16000, 1, Codec{PlainNoise: true}},
	{48000, 2, Codec{}}, // with noise substitution
}

// playersGet makes a stream of all signals, and what our decoder makes of it.
func playersGet(t *testing.T, k Codec, rate, channels int) (adts []byte, want []float32) {
	t.Helper()
	e := mustEncoder(t, k, rate, channels, media.EncoderOptions{BitRate: 64000 * channels})
	frames := encodeAll(t, e, allSignals(rate, channels, 10))
	c := Config{SampleRate: rate, Channels: channels}
	for _, frame := range frames {
		var err error
		if adts, err = c.AppendADTS(adts, frame); err != nil {
			t.Fatal(err)
		}
	}
	return adts, decodeAll(t, mustDecoder(t, e.Track()), frames)
}

// sameSound compares what a player decoded with what we did, within so many dB;
// 0 stands for the level only, which is all that is the same of substituted
// noise. The player may leave away the start and the end.
func sameSound(t *testing.T, within float64, channels int, want, got []float32) {
	t.Helper()
	if len(got) < len(want)*9/10 {
		t.Fatalf("%d samples of %d", len(got), len(want))
	}
	if within == 0 {
		ratio := 10 * math.Log10(power(got)/power(want))
		if math.Abs(ratio) > .2 {
			t.Errorf("it is %.2f dB louder", ratio)
		}
		return
	}
	best := math.Inf(-1)
	for skip := 0; skip <= 2*frameSize; skip += 64 {
		n := min(len(want)-skip*channels, len(got))
		best = max(best, signalToNoise(want[skip*channels:][:n], got[:n], 0))
	}
	t.Logf("it agrees within %.1f dB", best)
	if best < within {
		t.Errorf("it agrees within %.1f dB, want %.0f", best, within)
	}
}

// TestPeerChromium lets a browser decode streams, and compares.
func TestPeerChromium(t *testing.T) {
	sounds := make([][]byte, len(playersTake))
	wants := make([][]float32, len(playersTake))
	for i, p := range playersTake {
		sounds[i], wants[i] = playersGet(t, p.codec, p.rate, p.channels)
	}
	decoded := make([]chan []byte, len(playersTake))
	for i := range decoded {
		decoded[i] = make(chan []byte, 1)
	}
	var page strings.Builder
	page.WriteString(decodingPage)
	for i, p := range playersTake {
		fmt.Fprintf(&page, "decode(%d, %d, %d);\n", i, p.rate, p.channels)
	}
	page.WriteString("</script>")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var i int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &i); err != nil || i < 0 || i >= len(sounds) {
			_, _ = io.WriteString(w, page.String())
			return
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(sounds[i])
			return
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<20))
		decoded[i] <- body
	}))
	defer server.Close()
	p := peertest.Start(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), server.URL)
	defer p.Kill()
	limit := time.After(time.Minute)
	for i, format := range playersTake {
		select {
		case body := <-decoded[i]:
			if message, ok := bytes.CutPrefix(body, []byte("error")); ok {
				t.Errorf("%+v: %s", format, message)
				continue
			}
			t.Run(fmt.Sprintf("%dHz/%d", format.rate, format.channels), func(t *testing.T) {
				within := 80.
				if !format.codec.PlainNoise {
					within = 0
				}
				sameSound(t, within, format.channels, wants[i], toFloats(body))
			})
		case <-limit:
			t.Fatalf("the browser did not answer\n%s", p.Output())
		}
	}
}

// decodingPage decodes /N at a rate and posts the interleaved samples to it.
const decodingPage = `<!DOCTYPE html><script>
async function decode(n, rate, channels) {
	let body;
	try {
		const file = await (await fetch('/' + n)).arrayBuffer();
		const sound = await new OfflineAudioContext(channels, 1, rate).decodeAudioData(file);
		if (sound.numberOfChannels != channels)
			throw sound.numberOfChannels + ' channels';
		body = new Float32Array(sound.length * channels);
		for (let c = 0; c < channels; c++)
			sound.getChannelData(c).forEach((v, i) => body[i * channels + c] = v);
	} catch (e) {
		body = 'error ' + e;
	}
	fetch('/' + n, {method: 'POST', body});
}
`

// TestPeerVLC lets VLC decode streams, and compares. Its decoder (FAAD2) is less
// exact than others, and takes streams of low rates for HE-AAC, which it brings
// to twice the rate.
func TestPeerVLC(t *testing.T) {
	for _, p := range playersTake {
		t.Run(fmt.Sprintf("%dHz/%d", p.rate, p.channels), func(t *testing.T) {
			t.Parallel()
			adts, want := playersGet(t, p.codec, p.rate, p.channels)
			within := 60.
			if !p.codec.PlainNoise || p.rate < 32000 {
				within = 0
			}
			sameSound(t, within, p.channels, want, decodeVLC(t, adts, p.rate, p.channels))
		})
	}
}

// decodeVLC puts a stream into an MP4, which tells the channels better than
// ADTS, plays it with VLC to its end, and returns the samples.
func decodeVLC(t *testing.T, adts []byte, rate, channels int) []float32 {
	t.Helper()
	home, err := os.MkdirTemp("", "vlc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	in, out := filepath.Join(home, "in.mp4"), filepath.Join(home, "out.wav")
	ffmpeg(t, adts, "-f", "aac", "-i", "pipe:0", "-c", "copy", in)
	if err := os.Chmod(in, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peertest.Look(t, "cvlc"), "-q", in, "--sout",
		fmt.Sprintf("#transcode{acodec=f32l,samplerate=%d,channels=%d}", rate, channels)+":std{access=file,mux=wav,dst="+out+"}", "vlc://quit")
	cmd.Env, cmd.Dir = append(os.Environ(), "HOME="+home), home
	if os.Getuid() == 0 { // VLC refuses to run as root
		const nobody = 65534
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	p := peertest.StartCmd(t, cmd)
	if err := p.Wait(time.Minute); err != nil {
		t.Fatalf("VLC: %v\n%s", err, p.Output())
	}
	wav, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(wav, []byte("data"))
	if at < 0 || len(wav) < at+8 {
		t.Fatalf("no samples in %d bytes", len(wav))
	}
	return toFloats(wav[at+8:])
}
