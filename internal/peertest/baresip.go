package peertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Baresip is a running baresip softphone, driven over its ctrl_tcp module.
type Baresip struct {
	Process *Process
	Folder  string // configuration; recordings land here

	t      testing.TB
	conn   net.Conn
	mu     sync.Mutex
	events []BaresipEvent
	token  int
}

// BaresipOptions chooses what the softphone sends.
type BaresipOptions struct {
	User      string   // default "201"
	Proxy     string   // host:port of the registrar and proxy; empty: none, calls go straight
	Transport string   // "udp" (default) or "tcp"
	Codecs    []string // of audio, for example "opus/48000/2", "PCMA/8000", "G722/16000"; default Opus
	Video     string   // file without sound for the camera; empty: no video
	Audio     string   // WAV file for the microphone
	// Modules beside those that every test needs.
	Modules []string
	// Config is added at the end of the configuration file.
	Config string
}

// BaresipEvent is one event of the ctrl_tcp module.
type BaresipEvent struct {
	Event bool   `json:"event"`
	Type  string `json:"type"`
	Class string `json:"class"`
	Param string `json:"param"`
	ID    string `json:"id"`
}

const baresipConfig = `
poll_method epoll
sip_listen 127.0.0.1:${SIP}
sip_transports ${TRANSPORT}
net_interface 127.0.0.1
call_local_timeout 30
audio_source aufile,${AUDIO}
audio_player aufile,${DIR}/heard.wav
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

// StartBaresip starts a baresip and waits until it can be driven.
func StartBaresip(t testing.TB, o BaresipOptions) *Baresip {
	t.Helper()
	b := &Baresip{t: t, Folder: t.TempDir()}
	if o.User == "" {
		o.User = "201"
	}
	if o.Transport == "" {
		o.Transport = "udp"
	}
	if len(o.Codecs) == 0 {
		o.Codecs = []string{"opus/48000/2"}
	}
	ctrl, sip, rtp := Port(t), Port(t), 0
	for rtp = Port(t) &^ 1; rtp > 65000; {
		rtp = Port(t) &^ 1
	}
	modules := append([]string{"account.so", "ctrl_tcp.so", "menu.so", "aufile.so", "auconv.so", "auresamp.so"}, o.Modules...)
	have := map[string]string{"opus": "opus.so", "PCMA": "g711.so", "PCMU": "g711.so", "G722": "g722.so"}
	for _, c := range o.Codecs {
		name, _, _ := strings.Cut(c, "/")
		modules = append(modules, have[name])
	}
	video := ""
	if o.Video != "" {
		modules = append(modules, "avcodec.so", "avformat.so", "fakevideo.so")
		video = "avformat," + o.Video
	}
	var lines strings.Builder
	for _, m := range modules {
		// account and menu are applications, which start after the modules.
		kind := "module"
		if m == "account.so" || m == "menu.so" || m == "ctrl_tcp.so" {
			kind = "module_app"
		}
		fmt.Fprintf(&lines, "%s %s\n", kind, m)
	}
	write(t, b.Folder, "config", expand(baresipConfig,
		"SIP", strconv.Itoa(sip), "TRANSPORT", o.Transport, "AUDIO", o.Audio, "DIR", b.Folder, "VSOURCE", video,
		"RTPLO", strconv.Itoa(rtp), "RTPHI", strconv.Itoa(rtp+20), "MODULES", lines.String(),
		"CTRL", strconv.Itoa(ctrl), "EXTRA", o.Config))
	account := fmt.Sprintf("<sip:%s@127.0.0.1:%d;transport=%s>;regint=0", o.User, sip, o.Transport)
	if o.Proxy != "" {
		account = fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=60",
			o.User, o.Proxy, o.Transport, o.User, KamailioPassword, o.Proxy, o.Transport)
	}
	account += ";audio_codecs=" + strings.Join(o.Codecs, ",")
	if o.Video != "" {
		account += ";video_codecs=h264"
	}
	write(t, b.Folder, "accounts", account+"\n")
	write(t, b.Folder, "contacts", "")
	b.Process = Start(t, "baresip", "-f", b.Folder, "-v")
	b.connect(fmt.Sprintf("127.0.0.1:%d", ctrl))
	if o.Proxy != "" {
		b.Wait("REGISTER_OK", 15*time.Second)
	}
	return b
}

// connect opens the control connection and reads its events until it ends.
func (b *Baresip) connect(addr string) {
	b.t.Helper()
	Eventually(b.t, 15*time.Second, "baresip can be driven", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		b.conn = c
		return err == nil
	})
	b.t.Cleanup(func() { _ = b.conn.Close() })
	go func() {
		r := bufio.NewReader(b.conn)
		for {
			size, err := r.ReadString(':')
			if err != nil {
				return
			}
			n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
			if err != nil || n < 0 || n > 1<<20 {
				return
			}
			text := make([]byte, n+1) // the closing comma of the netstring too
			for got := 0; got < len(text); {
				k, err := r.Read(text[got:])
				if err != nil {
					return
				}
				got += k
			}
			var e BaresipEvent
			if json.Unmarshal(text[:n], &e) == nil && e.Event {
				b.mu.Lock()
				b.events = append(b.events, e)
				b.mu.Unlock()
			}
		}
	}()
}

// Do sends a command of baresip's menu, such as "dial" or "hangup".
func (b *Baresip) Do(command, params string) {
	b.t.Helper()
	b.token++
	text, err := json.Marshal(map[string]string{"command": command, "params": params, "token": strconv.Itoa(b.token)})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.conn, "%d:%s,", len(text), text); err != nil {
		b.t.Fatalf("baresip %s: %v", command, err)
	}
}

// Events returns the events so far.
func (b *Baresip) Events() []BaresipEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]BaresipEvent(nil), b.events...)
}

// Wait returns the first event of that type, for example "CALL_ESTABLISHED",
// "CALL_CLOSED" or "REGISTER_OK".
func (b *Baresip) Wait(event string, limit time.Duration) BaresipEvent {
	b.t.Helper()
	var found BaresipEvent
	Eventually(b.t, limit, "baresip event "+event, func() bool {
		for _, e := range b.Events() {
			if e.Type == event {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// Dial calls uri and waits until the call stands.
func (b *Baresip) Dial(uri string) {
	b.t.Helper()
	b.Do("dial", uri)
	b.Wait("CALL_ESTABLISHED", 15*time.Second)
}

// Hangup ends the call.
func (b *Baresip) Hangup() { b.Do("hangup", "") }

// Heard is the WAV file of what baresip played.
func (b *Baresip) Heard() string {
	matches, err := filepath.Glob(filepath.Join(b.Folder, "*heard*.wav"))
	if err != nil || len(matches) == 0 {
		return ""
	}
	if _, err := os.Stat(matches[0]); err != nil {
		return ""
	}
	return matches[0]
}
