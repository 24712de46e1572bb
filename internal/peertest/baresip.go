//go:build linux

package peertest

import (
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Baresip is a running baresip softphone, driven over its ctrl_tcp module.
type Baresip struct {
	Process *Process
	Folder  string // configuration; recordings land here
	Addr    string // host:port of its SIP, for calls without a proxy

	t     testing.TB
	ctrl  *baresipControl
	shots int
}

// BaresipOptions chooses what the softphone sends.
type BaresipOptions struct {
	User      string   // default "201"
	Password  string   // default [KamailioPassword]
	Proxy     string   // host:port of the registrar and proxy; empty: none, calls go straight
	Transport string   // "udp" (default) or "tcp"
	Codecs    []string // of audio, for example "opus/48000/2", "PCMA/8000", "G722/16000"; default Opus
	Video     string   // file without sound for the camera; empty: no video
	Audio     string   // WAV file for the microphone: mono, 48 kHz; default a minute of silence
	// AutoAnswer takes every call at once.
	AutoAnswer bool
	MaxCalls   int // at once, default 4
	// NoWait returns before the registrar has answered, which may then be
	// looked at by Wait("REGISTER_OK") or Wait("REGISTER_FAIL").
	NoWait bool
	// Modules beside those that every test needs.
	Modules []string
	// Config is added at the end of the configuration file.
	Config string
}

// withDefaults fills what is empty.
func (o BaresipOptions) withDefaults() BaresipOptions {
	if o.User == "" {
		o.User = "201"
	}
	if o.Password == "" {
		o.Password = KamailioPassword
	}
	if o.Transport == "" {
		o.Transport = "udp"
	}
	if len(o.Codecs) == 0 {
		o.Codecs = []string{"opus/48000/2"}
	}
	if o.MaxCalls == 0 {
		o.MaxCalls = 4
	}
	return o
}

const baresipConfig = `
poll_method epoll
sip_listen 127.0.0.1:${SIP}
net_interface 127.0.0.1
call_local_timeout 30
call_max_calls ${CALLS}
audio_source aufile,${AUDIO}
audio_player none,none
snd_path ${DIR}
audio_alert aufile,/dev/null
audio_level no
ausrc_srate 48000
auplay_srate 48000
ausrc_channels 1
auplay_channels 1
video_source ${VSOURCE}
video_size 640x360
video_bitrate 800000
video_fps 25
video_fullscreen no
rtp_tos 0
rtp_ports ${RTPLO}-${RTPHI}
rtcp_mux no
jitter_buffer_delay 1-10
rtp_stats no
module_path /usr/lib/baresip/modules
${MODULES}
ctrl_tcp_listen 127.0.0.1:${CTRL}
${EXTRA}
`

// baresipRTPPorts are those of a call: RTP and RTCP of sound and picture.
const baresipRTPPorts = 4

// baresipCodecs are the modules of the audio codecs.
var baresipCodecs = map[string]string{"opus": "opus.so", "PCMA": "g711.so", "PCMU": "g711.so", "G722": "g722.so"}

// StartBaresip starts a baresip and waits until it can be driven and, with a
// proxy, is registered.
func StartBaresip(t testing.TB, o BaresipOptions) *Baresip {
	t.Helper()
	o = o.withDefaults()
	b := &Baresip{t: t, Folder: t.TempDir()}
	if o.Audio == "" { // without a source it takes no call
		o.Audio = silence(t, b.Folder, time.Minute)
	}
	// It listens for TLS on the port after that of SIP, whatever it is told.
	sip, ctrl, rtp := Ports(t, 2), Port(t), Ports(t, o.MaxCalls*baresipRTPPorts)
	b.Addr = Loopback(sip)
	video := ""
	if o.Video != "" {
		video = "avformat," + o.Video
	}
	write(t, b.Folder, "config", expand(baresipConfig,
		"SIP", strconv.Itoa(sip), "CALLS", strconv.Itoa(o.MaxCalls), "AUDIO", o.Audio, "DIR", b.Folder, "VSOURCE", video,
		"RTPLO", strconv.Itoa(rtp), "RTPHI", strconv.Itoa(rtp+o.MaxCalls*baresipRTPPorts-1), "MODULES", o.modules(t),
		"CTRL", strconv.Itoa(ctrl), "EXTRA", o.Config))
	write(t, b.Folder, "accounts", "")
	write(t, b.Folder, "contacts", "")
	b.Process = Start(t, "baresip", "-f", b.Folder, "-v")
	b.ctrl = dialBaresip(t, b.Process, Loopback(ctrl))
	// An account from the file would register before anybody can connect, and
	// the event would be lost.
	b.Do("uanew", o.account(sip))
	if i := strings.Index(b.Process.Output(), "codec not found"); i >= 0 {
		t.Fatalf("baresip: %s", tail(b.Process.Output(), 300))
	}
	if o.Proxy != "" && !o.NoWait {
		if e := b.ctrl.wait(startLimit, "REGISTER_OK", "REGISTER_FAIL"); e.Type != "REGISTER_OK" {
			t.Fatalf("baresip is not registered: %s", e.Param)
		}
	}
	return b
}

// modules returns the lines of the configuration that load them.
func (o BaresipOptions) modules(t testing.TB) string {
	t.Helper()
	names := append([]string{"aufile.so", "sndfile.so"}, o.Modules...)
	for _, c := range o.Codecs {
		name, _, _ := strings.Cut(c, "/")
		module, ok := baresipCodecs[name]
		if !ok {
			t.Fatalf("baresip has no codec %q", c)
		}
		names = append(names, module)
	}
	if o.Video != "" {
		names = append(names, "avcodec.so", "avformat.so", "fakevideo.so", "snapshot.so")
	}
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "module %s\n", name)
	}
	// These are applications, which start after the modules.
	for _, name := range []string{"account.so", "menu.so", "ctrl_tcp.so"} {
		fmt.Fprintf(&lines, "module_app %s\n", name)
	}
	return lines.String()
}

// account is a line of baresip's accounts file.
func (o BaresipOptions) account(port int) string {
	a := fmt.Sprintf("<sip:%s@127.0.0.1:%d;transport=%s>;regint=0", o.User, port, o.Transport)
	if o.Proxy != "" {
		a = fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=60",
			o.User, o.Proxy, o.Transport, o.User, o.Password, o.Proxy, o.Transport)
	}
	a += ";audio_codecs=" + strings.Join(o.Codecs, ",")
	if o.Video != "" {
		a += ";video_codecs=h264"
	}
	if o.AutoAnswer {
		a += ";answermode=auto"
	}
	return a
}

// Do gives a command of baresip's menu, such as "dial" or "hangup", and
// returns what it prints. A command that fails fails the test.
func (b *Baresip) Do(command, params string) string {
	b.t.Helper()
	return b.ctrl.do(command, params)
}

// Events returns the events so far.
func (b *Baresip) Events() []BaresipEvent { return b.ctrl.all() }

// Wait returns the next event of that type, for example "CALL_ESTABLISHED",
// "CALL_CLOSED" or "REGISTER_FAIL": the first that Wait has not returned yet.
func (b *Baresip) Wait(event string, limit time.Duration) BaresipEvent {
	b.t.Helper()
	return b.ctrl.wait(limit, event)
}

// Dial calls uri and waits until the call stands.
func (b *Baresip) Dial(uri string) {
	b.t.Helper()
	b.Do("dial", uri)
	if e := b.ctrl.wait(30*time.Second, "CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_ESTABLISHED" {
		b.t.Fatalf("baresip: the call to %s ended: %s", uri, e.Param)
	}
}

// Hangup ends the call.
func (b *Baresip) Hangup() {
	b.t.Helper()
	b.Do("hangup", "")
}

// Answer takes the call that rings.
func (b *Baresip) Answer() {
	b.t.Helper()
	b.ctrl.wait(30*time.Second, "CALL_INCOMING")
	b.Do("accept", "")
	b.ctrl.wait(30*time.Second, "CALL_ESTABLISHED")
}

// SendDTMF presses keys in the call, each for a moment.
func (b *Baresip) SendDTMF(keys string) {
	b.t.Helper()
	for _, k := range keys {
		b.Do("sndcode", string(k))
		time.Sleep(250 * time.Millisecond) // a key down longer than the 160 ms that some want
	}
}

// Seen returns the next picture that comes from the other side. It needs
// Video.
func (b *Baresip) Seen() image.Image {
	b.t.Helper()
	b.shots++
	file := filepath.Join(b.Folder, fmt.Sprintf("seen%d.png", b.shots))
	b.Do("snapshot_recv", file)
	var img image.Image
	Eventually(b.t, 30*time.Second, "baresip has seen a picture", func() bool {
		var err error
		img, err = decodePNG(file) // which may not be whole yet
		return err == nil
	})
	return img
}

// Heard is the WAV file of the sound that came in the last call, "" if there
// was none. It is complete when the call has ended.
func (b *Baresip) Heard() string {
	matches, err := filepath.Glob(filepath.Join(b.Folder, "dump-*-dec.wav"))
	if err != nil || len(matches) == 0 {
		return ""
	}
	return slices.Max(matches) // their names are dates
}
