//go:build peers

package network

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/rtmp"
)

// TestPeerOutages kills the RTMP server for a while, again and again: the call
// goes on, and the timestamps with it.
func TestPeerOutages(t *testing.T) {
	t.Parallel()
	n := peertest.StartNginx(t)
	f := testFilm(t)
	g := startGateway(t, n.RTMPURL+"/live")
	dial(t, g.addr(), "100", f, nil)
	n.WaitStream("rtmp_100", 30*time.Second)
	url := n.RTMPURL + "/live/rtmp_100"
	output := func() *rtmp.PublisherStats { return g.session("100").Stats().Outputs[0].RTMP }
	before, at := lastTimestamp(t, url)
	for i, outage := range outages {
		n.Stop()
		most := 0
		for end := time.Now().Add(outage); time.Now().Before(end); time.Sleep(min(outage, 50*time.Millisecond)) {
			most = max(most, output().Queued)
		}
		peertest.Eventually(t, 30*time.Second, "the loss is noticed", func() bool { return output().State != rtmp.Live })
		n.Restart()
		n.WaitStream("rtmp_100", 60*time.Second)
		after, now := lastTimestamp(t, url)
		st := output()
		t.Logf("measured: away for %v, timestamps %v after %v in %v, at most %d bytes queued, connected %d times, %d pictures dropped",
			outage, after, before, now.Sub(at).Round(time.Millisecond), most, st.Connects, st.VideoDropped)
		if d := after - before - now.Sub(at); d.Abs() > 3*time.Second {
			t.Errorf("timestamps went from %v to %v in %v", before, after, now.Sub(at))
		}
		if most > 2<<20 || st.Connects != uint64(i+2) || st.Clamped != 0 {
			t.Errorf("%d bytes queued at most, %+v", most, st)
		}
		before, at = after, now
	}
	m := peertest.Watch(t, url, 6*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, MinPairs: 3, MaxOffset: 80 * time.Millisecond})
}

// lastTimestamp plays for some seconds and returns the last time that an RTMP
// message had, as it was on the wire, and when that was.
func lastTimestamp(t *testing.T, url string) (last time.Duration, at time.Time) {
	t.Helper()
	file := peertest.Rtmpdump(t, url, 3*time.Second)
	at = time.Now()
	_, last = timestamps(t, file)
	return last, at
}

// timestamps are the first and the last one of a file's packets.
func timestamps(t *testing.T, file string) (first, last time.Duration) {
	t.Helper()
	out, errs, err := peertest.Run(t, time.Minute, "ffprobe", "-v", "fatal", "-show_entries", "packet=dts_time", "-of", "json", file)
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", file, err, errs)
	}
	var p struct {
		Packets []struct {
			DTS string `json:"dts_time"`
		}
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	first = -1
	for _, k := range p.Packets {
		s, err := strconv.ParseFloat(k.DTS, 64)
		if err != nil {
			continue
		}
		dts := time.Duration(s * float64(time.Second))
		if first < 0 {
			first = dts
		}
		last = max(last, dts)
	}
	if last == 0 {
		t.Fatalf("no timestamps in %d packets", len(p.Packets))
	}
	return first, last
}
