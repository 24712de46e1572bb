//go:build linux

package peertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the user without rights on Debian.
const nobody = 65534

// VLC plays url for a while, and returns the MPEG-TS file that it made of it
// without decoding. It needs some seconds to start.
func VLC(t testing.TB, url string, length time.Duration) string {
	t.Helper()
	home := nobodysFolder(t)
	out := filepath.Join(home, "out.ts")
	p := startVLC(t, home, "-q", url, "--run-time="+strconv.Itoa(int(length.Seconds())),
		"--sout", "#std{access=file,mux=ts,dst="+out+"}", "vlc://quit")
	if err := p.Wait(length + 60*time.Second); err != nil {
		t.Fatalf("VLC %s: %v\n%s", url, err, tail(p.Output(), 3000))
	}
	return out
}

// VLCDisplay is a VLC that decodes and shows pictures, to nobody.
type VLCDisplay struct{ *Process }

// StartVLC plays url until the test ends.
func StartVLC(t testing.TB, url string) VLCDisplay {
	t.Helper()
	return VLCDisplay{startVLC(t, nobodysFolder(t), "-vv", "--vout=vdummy", "--aout=adummy", url, "vlc://quit")}
}

// vlcSize is what VLC logs of the visible part when pictures change.
var vlcSize = regexp.MustCompile(`original format sz [^,]*, of [^,]*,[^,]*, vsz (\d+x\d+),`)

// Sizes are those of the pictures shown so far, each as often as it changed.
func (v VLCDisplay) Sizes() (list []string) {
	for _, m := range vlcSize.FindAllStringSubmatch(v.Output(), -1) {
		list = append(list, m[1])
	}
	return slices.Compact(list)
}

// nobodysFolder is a folder for a program that refuses to run as root: another
// user cannot enter those of the test.
func nobodysFolder(t testing.TB) string {
	t.Helper()
	home, err := os.MkdirTemp("", "vlc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if os.Getuid() == 0 {
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// startVLC starts a VLC with that home, as nobody where we are root.
func startVLC(t testing.TB, home string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(Look(t, "cvlc"), args...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	if os.Getuid() == 0 {
		cmd.Dir = home
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return StartCmd(t, cmd)
}

// Codecs are those of all the streams that ffprobe finds at a URL, sorted.
func Codecs(t testing.TB, url string) []string {
	t.Helper()
	out, errs, err := Run(t, time.Minute, "ffprobe", "-v", "error", "-rw_timeout", "15000000",
		"-show_entries", "stream=codec_name", "-of", "csv=p=0", url)
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", url, err, errs)
	}
	return slices.Sorted(strings.FieldsSeq(out))
}

// Rtmpdump plays an RTMP url for a while after its first data, and returns the
// FLV file: the tags as they came. The last one may be cut short.
func Rtmpdump(t testing.TB, url string, length time.Duration) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dumped.flv")
	p := Start(t, "rtmpdump", "-q", "-v", "-r", url, "-o", out)
	Eventually(t, 60*time.Second, "rtmpdump gets data", func() bool {
		info, err := os.Stat(out)
		if err == nil && info.Size() > 0 {
			return true
		}
		p.mustRun(t)
		return false
	})
	// Its own --stop goes by timestamps, which in a live stream begin anywhere.
	_ = p.Wait(length)
	p.Stop()
	return out
}
