//go:build linux

package peertest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Linphone is a running linphonec softphone, driven by its command line. Its
// camera is a still picture, one frame a second.
type Linphone struct {
	Process *Process
	Folder  string
	Addr    string // host:port of its SIP, for calls without a proxy

	t     testing.TB
	audio string
	input io.Writer
	read  int // of the output: what [Linphone.Wait] has returned
}

// LinphoneOptions describe the softphone.
type LinphoneOptions struct {
	User       string   // default "203"
	Proxy      string   // host:port of the registrar and proxy; empty: none
	Transport  string   // towards the proxy: "udp" (default) or "tcp"
	Codecs     []string // of audio: "opus" (default), "PCMA", "PCMU", "G722"
	Audio      string   // WAV file that it says in a call; empty: silence
	AutoAnswer bool
	NoVideo    bool
}

// linphoneCodecs are all that it would offer if it were not told otherwise.
var linphoneCodecs = []struct{ name, rate, channels string }{
	{"opus", "48000", "2"}, {"speex", "16000", "1"}, {"speex", "8000", "1"}, {"speex", "32000", "1"},
	{"PCMU", "8000", "1"}, {"PCMA", "8000", "1"}, {"GSM", "8000", "1"}, {"G722", "8000", "1"}, {"G729", "8000", "1"},
}

const linphoneConfig = `
[sip]
sip_port=${SIP}
sip_tcp_port=${SIP}
sip_tls_port=0
use_ipv6=0
guess_hostname=0
contact="linphone" <sip:${USER}@127.0.0.1>
register_only_when_network_is_up=0
[net]
firewall_policy=0
mtu=1300
[rtp]
audio_rtp_port=${RTP}
video_rtp_port=${RTPVIDEO}
[sound]
echocancellation=0
[video]
enabled=${VIDEO}
capture=1
display=1
automatically_initiate=1
automatically_accept=1
size=vga
device=StaticImage: Static picture
[video_codec_0]
mime=VP8
rate=90000
enabled=0
[video_codec_1]
mime=H264
rate=90000
enabled=1
`

// StartLinphone starts a linphonec with a screen of its own, and waits until
// it takes commands and, with a proxy, is registered.
func StartLinphone(t testing.TB, o LinphoneOptions) *Linphone {
	t.Helper()
	if o.User == "" {
		o.User = "203"
	}
	if o.Transport == "" {
		o.Transport = "udp"
	}
	if len(o.Codecs) == 0 {
		o.Codecs = []string{"opus"}
	}
	l := &Linphone{t: t, Folder: t.TempDir(), audio: o.Audio}
	sip, rtp := Port(t), Ports(t, 4)
	l.Addr = Loopback(sip)
	config := write(t, l.Folder, "linphonerc", expand(linphoneConfig, "SIP", strconv.Itoa(sip), "USER", o.User, "RTP", strconv.Itoa(rtp), "RTPVIDEO", strconv.Itoa(rtp+2),
		"VIDEO", flag(!o.NoVideo))+o.codecs())
	// Its database wants this folder to be there.
	if err := os.MkdirAll(filepath.Join(l.Folder, ".local/share/linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", config, "-d", "4", "-l", filepath.Join(l.Folder, "linphone.log")}
	if !o.NoVideo {
		args = append(args, "-V")
	}
	if o.AutoAnswer {
		args = append(args, "-a")
	}
	cmd := exec.Command(Look(t, "linphonec"), args...)
	cmd.Env = append(os.Environ(), "HOME="+l.Folder, "DISPLAY="+startScreen(t))
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.input = input
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("linphone.log:\n%s", tail(l.Log(), 6000))
		}
	})
	l.Process = StartCmd(t, cmd)
	// It takes commands, but prints its prompt only after the first.
	l.Do("ipv6 disable")
	l.Do("soundcard use files")
	l.Wait("Using wav files instead of soundcard", startLimit)
	if o.Proxy != "" {
		l.Do(fmt.Sprintf("register sip:%s@%s sip:%s;transport=%s %s", o.User, o.Proxy, o.Proxy, o.Transport, KamailioPassword))
		Eventually(t, startLimit, "linphonec is registered", func() bool {
			return strings.Contains(l.Log(), "to [LinphoneRegistrationOk]")
		})
	}
	return l
}

// codecs are the sections of the configuration that choose them.
func (o LinphoneOptions) codecs() string {
	var out strings.Builder
	for i, c := range linphoneCodecs {
		on := false
		for _, name := range o.Codecs {
			on = on || strings.EqualFold(name, c.name)
		}
		fmt.Fprintf(&out, "[audio_codec_%d]\nmime=%s\nrate=%s\nchannels=%s\nenabled=%s\n", i, c.name, c.rate, c.channels, flag(on))
	}
	return out.String()
}

// startScreen starts an X server, which chooses its number, and returns its
// name.
func startScreen(t testing.TB) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Look(t, "Xvfb"), "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	p := StartCmd(t, cmd)
	_ = w.Close()
	t.Cleanup(func() { _ = r.Close() })
	if err := r.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		t.Fatal(err)
	}
	var number []byte
	buf := make([]byte, 16)
	for !bytes.HasSuffix(number, []byte("\n")) {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("Xvfb: %v\n%s", err, p.Output())
		}
		number = append(number, buf[:n]...)
	}
	return ":" + strings.TrimSpace(string(number))
}

// Do gives a command, such as "call sip:100@127.0.0.1" or "terminate".
func (l *Linphone) Do(command string) {
	l.t.Helper()
	if _, err := io.WriteString(l.input, command+"\n"); err != nil {
		l.t.Fatalf("linphonec %s: %v", command, err)
	}
}

// Dial calls uri, with picture if there is one, and waits until media flows.
func (l *Linphone) Dial(uri string) {
	l.t.Helper()
	l.Do("call " + uri)
	l.Established()
}

// Established waits until media flows in a call, made or taken, begins to say
// the Audio, and records what comes: see [Linphone.Heard].
func (l *Linphone) Established() {
	l.t.Helper()
	l.Wait("Media streams established", 30*time.Second)
	if l.audio != "" {
		l.Do("play " + l.audio)
	}
	l.Do("record " + l.Heard())
}

// Hangup ends the call.
func (l *Linphone) Hangup() {
	l.t.Helper()
	l.Do("terminate")
	l.Wait("ended", 30*time.Second)
}

// Hold puts the call on hold and returns when the other side has agreed.
func (l *Linphone) Hold() {
	l.t.Helper()
	l.Do("pause")
	l.Wait("is now paused", 30*time.Second)
}

// Resume takes the call back, and waits until media flows again. What it said
// and recorded before has ended by the hold; Audio begins anew.
func (l *Linphone) Resume() {
	l.t.Helper()
	l.Do("resume")
	l.Established()
}

// Heard is the WAV file of the sound that came. It is complete when the call
// has ended.
func (l *Linphone) Heard() string { return filepath.Join(l.Folder, "heard.wav") }

// Wait returns when linphonec has printed text, after what Wait has found
// before.
func (l *Linphone) Wait(text string, limit time.Duration) {
	l.t.Helper()
	Eventually(l.t, limit, "linphonec says "+strconv.Quote(text), func() bool {
		l.Process.mustRun(l.t)
		out := l.Process.Output()
		i := strings.Index(out[min(l.read, len(out)):], text)
		if i >= 0 {
			l.read += i + len(text)
		}
		return i >= 0
	})
}

// Log is the end of linphonec's log: SIP messages, codecs, streams.
func (l *Linphone) Log() string {
	b, err := os.ReadFile(filepath.Join(l.Folder, "linphone.log"))
	if err != nil {
		return err.Error()
	}
	return tail(string(b), 1<<20)
}
