//go:build linux

package peertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	// It refuses to run as root, and another user cannot enter the folders of
	// the test.
	home, err := os.MkdirTemp("", "vlc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	out := filepath.Join(home, "out.ts")
	cmd := exec.Command(Look(t, "cvlc"), "-q", url, "--run-time="+strconv.Itoa(int(length.Seconds())),
		"--sout", "#std{access=file,mux=ts,dst="+out+"}", "vlc://quit")
	cmd.Env = append(os.Environ(), "HOME="+home)
	if os.Getuid() == 0 {
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.Dir = home
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	p := StartCmd(t, cmd)
	if err := p.Wait(length + 60*time.Second); err != nil {
		t.Fatalf("VLC %s: %v\n%s", url, err, tail(p.Output(), 3000))
	}
	return out
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
