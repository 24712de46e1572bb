package gateway_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/api"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/trunk"
)

// recordEvents keeps what Options.OnRecord is told.
type recordEvents struct {
	mu   sync.Mutex
	list []record.Event
}

func (l *recordEvents) add(e record.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

func (l *recordEvents) of(types ...record.EventType) (list []record.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if slices.Contains(types, e.Type) {
			list = append(list, e)
		}
	}
	return list
}

// recording runs a gateway that records to a folder of the test and publishes
// its calls to its own server.
func recording(t testing.TB, change func(*gateway.Config)) (*running, *recordEvents) {
	t.Helper()
	cfg := gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "127.0.0.1:0", MediaFolder: mediaFolder(t)}
	cfg.Record.Folder = t.TempDir()
	if change != nil {
		change(&cfg)
	}
	events := &recordEvents{}
	return startGateway(t, cfg, gateway.Options{OnRecord: events.add}), events
}

// callWithMedia places a call and returns it when sound and picture came.
func (r *running) callWithMedia(number string) (s *trunkcast.Session, hangup func()) {
	r.t.Helper()
	hangup = r.callOnly(number)
	eventually(r.t, "sound and picture of "+number, func() bool {
		for _, x := range r.Bridge.Sessions() {
			if x.Call().Number() == number && len(x.Stream().Tracks()) == 2 {
				s = x
			}
		}
		return s != nil
	})
	return s, hangup
}

// TestRESTRecord records a call in its middle, three times: twice stopped by
// request, by either path, and once by the end of the call.
func TestRESTRecord(t *testing.T) {
	t.Parallel()
	r, events := recording(t, nil)
	for _, path := range []string{"/stream/find", "/stream/find_all", "/recorder/find_all"} {
		if status, text := r.post(path, nil); status != http.StatusNotFound {
			t.Errorf("%s without a call: %d %s", path, status, text)
		}
	}
	s, hangup := r.callWithMedia("100")
	id := map[string]any{"mediaSessionId": s.ID()}
	frames := func() uint64 { return decode[[]api.Recording](t, r.must("/recorder/find_all", nil))[0].Frames }
	for i, c := range []struct {
		start, stop string
		config      any
	}{
		{"/stream/startRecording", "/stream/stopRecording", map[string]any{"fileTemplate": "first-{streamName}-{mediaSessionId}", "rotation": "20M"}},
		{"/recorder/startup", "/recorder/terminate", map[string]any{"rotation": 3600, "fileTemplate": "{streamName}-{startTime}-{endTime}"}},
		{"/recorder/startup", "", nil},
	} {
		r.must(c.start, map[string]any{"mediaSessionId": s.ID(), "config": c.config})
		if status, text := r.post(c.start, id); status != http.StatusConflict {
			t.Errorf("recorded twice: %d %s", status, text)
		}
		eventually(t, "frames", func() bool { return frames() > 60 })
		if list := decode[[]api.Stream](t, r.must("/stream/find", map[string]any{"name": "rtmp_100"})); len(list) != 1 || !list[0].Record {
			t.Errorf("stream while recorded: %+v", list)
		}
		list := decode[[]api.Recording](t, r.must("/recorder/find_all", nil))
		if len(list) != 1 || list[0].MediaSessionID != s.ID() || list[0].CallID != s.ID() || !strings.HasSuffix(list[0].FileName, ".mp4") ||
			list[0].StreamName != "rtmp_100" {
			t.Errorf("recordings: %+v", list)
		}
		if c.stop == "" {
			hangup()
		} else {
			r.must(c.stop, id)
			if status, text := r.post(c.stop, id); status != http.StatusNotFound {
				t.Errorf("stopped twice: %d %s", status, text)
			}
		}
		eventually(t, "a file", func() bool { return len(events.of(record.PartFinished)) == i+1 })
	}
	names := []string{"first-rtmp_100-", "rtmp_100-2", "rtmp_100-2"}
	for i, e := range events.of(record.PartFinished) {
		kinds := fileKinds(t, e.Path)
		t.Logf("%s: %v", filepath.Base(e.Path), kinds)
		if e.Err != nil || kinds[media.H264] < 15 || kinds[media.Opus] < 30 || !strings.HasPrefix(filepath.Base(e.Path), names[i]) {
			t.Errorf("file %+v has %v", e, kinds)
		}
	}
	if st := r.count(trunkcast.OutputEnded); st != 2 {
		t.Errorf("%d outputs ended by themselves, want the two recordings", st)
	}
}

// TestRESTRecordRefused asks for what cannot be.
func TestRESTRecordRefused(t *testing.T) {
	t.Parallel()
	r, _ := recording(t, nil)
	s, _ := r.callWithMedia("100")
	with := func(config any) map[string]any { return map[string]any{"mediaSessionId": s.ID(), "config": config} }
	for _, c := range []struct {
		path   string
		body   map[string]any
		status int
	}{
		{"/stream/startRecording", nil, 400},
		{"/stream/startRecording", map[string]any{"mediaSessionId": "nobody"}, 404},
		{"/stream/startRecording", map[string]any{"mediaSessionId": s.ID(), "conf": map[string]any{}}, 400},
		{"/stream/startRecording", with("text"), 400},
		{"/stream/startRecording", with([]int{1}), 400},
		{"/stream/startRecording", with(map[string]any{"fileTemplate": "../{streamName}"}), 400},
		{"/stream/startRecording", with(map[string]any{"fileTemplate": "/tmp/x"}), 400},
		{"/stream/startRecording", with(map[string]any{"fileTemplate": "{nothing}"}), 400},
		{"/stream/startRecording", with(map[string]any{"fileTemplate": []int{1}}), 400},
		{"/stream/startRecording", with(map[string]any{"rotation": "20m"}), 400},
		{"/stream/startRecording", with(map[string]any{"rotation": -1}), 400},
		{"/stream/startRecording", with(map[string]any{"rotation": map[string]any{}}), 400},
		{"/stream/startRecording", with(map[string]any{"format": "avi"}), 400},
		{"/stream/startRecording", with(map[string]any{"folder": "/"}), 400},
		{"/stream/stopRecording", nil, 400},
		{"/stream/stopRecording", map[string]any{"mediaSessionId": "nobody"}, 404},
		{"/stream/stopRecording", map[string]any{"mediaSessionId": s.ID()}, 404}, // is not recorded
		{"/recorder/find_all", nil, 404},
		{"/stream/find", map[string]any{"name": "nobody"}, 404},
		{"/stream/find", map[string]any{"published": "false"}, 404},
		{"/stream/find", map[string]any{"nam": "rtmp_100"}, 400},
		{"/stream/find", map[string]any{"published": "perhaps"}, 400},
		{"/stream/terminate", nil, 400},
		{"/stream/terminate", map[string]any{"mediaSessionId": "nobody"}, 404},
	} {
		if status, text := r.post(c.path, c.body); status != c.status {
			t.Errorf("%s %v: %d %s, want %d", c.path, c.body, status, text, c.status)
		}
	}
	list := decode[[]api.Stream](t, r.must("/stream/find", map[string]any{"name": "rtmp_100", "published": true}))
	if len(list) != 1 {
		t.Fatalf("streams %+v", list)
	}
	list[0].CreateDate = 0
	if want := (api.Stream{MediaSessionID: s.ID(), Name: "rtmp_100", Published: true, Status: "PUBLISHING", AudioCodec: string(media.Opus),
		VideoCodec: string(media.H264), Width: 640, Height: 360, CallID: s.ID()}); list[0] != want {
		t.Errorf("stream %+v, want %+v", list[0], want)
	}
	r.must("/stream/terminate", map[string]any{"mediaSessionId": s.ID()})
	eventually(t, "the end of the call", func() bool { return r.has(trunkcast.CallEnded) })
}

// TestRESTRecordAtOnce asks for a recording of one stream many times at once.
func TestRESTRecordAtOnce(t *testing.T) {
	t.Parallel()
	r, events := recording(t, nil)
	s, hangup := r.callWithMedia("100")
	statuses := make([]int, 8)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() { statuses[i], _ = r.post("/recorder/startup", map[string]any{"mediaSessionId": s.ID()}) })
	}
	wg.Wait()
	slices.Sort(statuses)
	if want := []int{200, 409, 409, 409, 409, 409, 409, 409}; !slices.Equal(statuses, want) {
		t.Errorf("statuses %v", statuses)
	}
	hangup()
	eventually(t, "one file or none", func() bool { return len(r.Bridge.Recorder.Recordings()) == 0 })
	if n := len(events.of(record.PartStarted)); n > 1 {
		t.Errorf("%d files", n)
	}
}

// TestRESTRecordVOD records a stream that is no call's.
func TestRESTRecordVOD(t *testing.T) {
	t.Parallel()
	r, events := recording(t, nil)
	r.must("/vod/startup", map[string]any{"uri": "vod://clip.mp4", "localStreamName": "film", "loop": true})
	vod := func() api.VOD {
		return decode[[]api.VOD](t, r.must("/vod/find", map[string]any{"localStreamName": "film"}))[0]
	}
	id := map[string]any{"mediaSessionId": vod().LocalMediaSessionID}
	for range 2 {
		r.must("/recorder/startup", id)
		if !vod().Record {
			t.Error("not recorded")
		}
		eventually(t, "frames", func() bool {
			return decode[[]api.Recording](t, r.must("/recorder/find_all", nil))[0].Frames > 60
		})
		r.must("/recorder/terminate", id)
		if vod().Record {
			t.Error("still recorded")
		}
	}
	r.must("/recorder/startup", id)
	eventually(t, "a third file", func() bool { return len(events.of(record.PartStarted)) == 3 })
	r.must("/stream/terminate", id) // also ends what records it
	eventually(t, "three files", func() bool { return len(events.of(record.PartFinished)) == 3 })
	for _, e := range events.of(record.PartFinished)[:2] {
		if kinds := fileKinds(t, e.Path); kinds[media.H264] < 15 || kinds[media.Opus] < 30 || !strings.HasPrefix(filepath.Base(e.Path), "film-") {
			t.Errorf("%s has %v", e.Path, kinds)
		}
	}
	if status, _ := r.post("/stream/find_all", nil); status != http.StatusNotFound {
		t.Errorf("streams after the end: %d", status)
	}
}
