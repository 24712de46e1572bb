package record

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func exampleValues() Values {
	return Values{
		Info: Info{Stream: "rtmp_100", CallID: "a84b4c76@pc33", Caller: "+4930", Number: "100", Trunk: "pbx_t0", Session: "5a07", Login: "bob"},
		Part: 2, Start: time.Date(2026, 11, 24, 9, 5, 7, 0, time.UTC), End: time.Date(2026, 11, 24, 9, 6, 10, 0, time.UTC),
		Duration: 62600 * time.Millisecond, VideoCodec: "H264",
	}
}

func TestTemplate(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		template string
		change   func(*Values)
		want     string
	}{
		{"", nil, "rtmp_100-20261124T090507Z-002"},
		{"{stream}_{part}", nil, "rtmp_100_002"},
		{"{trunk}/{number}/{caller}-{call_id}", func(v *Values) { v.Part = 1 }, "pbx_t0/100/+4930-a84b4c76@pc33"},
		{"stream-{mediaSessionId}-{login}", func(v *Values) { v.Part = 1 }, "stream-5a07-bob"},
		{"stream-{mediaSessionId}-{login}", func(v *Values) { v.Part, v.Session, v.Login = 1, "", "" }, "stream-a84b4c76@pc33-pbx_t0"},
		{"{streamName}-{startTime}-{endTime}", func(v *Values) { v.Part = 1 }, "rtmp_100-20261124T090507Z-20261124T090610Z"},
		{"{startTimeMillis}-{endTimeMillis}-{duration}", func(v *Values) { v.Part = 1 }, "1795511107000-1795511170000-63"},
		{"{end}-{duration}", func(v *Values) { v.Part, v.End = 1, time.Time{} }, "recording-recording"},
		{"{start}", func(v *Values) { v.Part, v.Start = 1, v.Start.In(berlin) }, "20261124T100507+0100"},
		{"{videoCodec}-{audioCodec}.mp4", func(v *Values) { v.Part = 1 }, "H264-none"},
		{"{stream}.ts", func(v *Values) { v.Part, v.Rotated = 1, true }, "rtmp_100-001"},
		{"{part}", func(v *Values) { v.Part = 12345 }, "12345"},
		{"x/{number}", func(v *Values) { v.Part, v.Number = 1, "../../etc/passwd" }, "x/_.._.._etc_passwd"},
		{"{number}/{stream}", func(v *Values) { v.Part, v.Number = 1, ".." }, "_/rtmp_100"},
		{"{number}/{stream}", func(v *Values) { v.Part, v.Number = 1, "" }, "_/rtmp_100"},
		{"{number}", func(v *Values) { v.Part, v.Number = 1, "*98#\x00\n\\:" }, "_98#____"},
		{"{number}", func(v *Values) { v.Part, v.Number = 1, "nul.x" }, "_nul.x"},
		{"{number}", func(v *Values) { v.Part, v.Number = 1, "\xff日本" }, "_日本"},
		{"{number}", func(v *Values) { v.Part, v.Number = 1, strings.Repeat("ä", 100) }, strings.Repeat("ä", 60)},
	} {
		tpl, err := ParseTemplate(c.template)
		if err != nil {
			t.Errorf("%q: %v", c.template, err)
			continue
		}
		v := exampleValues()
		if c.change != nil {
			c.change(&v)
		}
		if got := tpl.Name(v); got != c.want {
			t.Errorf("%q: %q, want %q", c.template, got, c.want)
		}
	}
}

func TestTemplateRefused(t *testing.T) {
	for _, text := range []string{
		"/{stream}", "../{stream}", "a/../{stream}", "a//b", "{stream}/", "{strem}", "{stream", "{}", "a:b", `a\b`, "a\x00b",
		".hidden", " a", "a/ b", ".mp4", strings.Repeat("a", maxTemplate+1), "a*", "\xff",
	} {
		if _, err := ParseTemplate(text); !errors.Is(err, ErrTemplate) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("{trunk}/{number}-{start}", "100", "x")
	f.Add("{stream}{part}", "../..", strings.Repeat("/", 300))
	f.Add("a/{number}{number}{number}", strings.Repeat("é", 500), ".")
	f.Fuzz(func(t *testing.T, text, number, stream string) {
		tpl, err := ParseTemplate(text)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Errorf("error %v", err)
			}
			return
		}
		v := exampleValues()
		v.Number, v.Stream = number, stream
		name := tpl.Name(v)
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name || !utf8.ValidString(name) {
			t.Errorf("%q: name %q", text, name)
		}
		if strings.Count(name, "/") != strings.Count(strings.TrimSuffix(strings.TrimSuffix(text, ".mp4"), ".ts"), "/") {
			t.Errorf("%q: a value made a path: %q", text, name)
		}
		for _, e := range strings.Split(name, "/") {
			if len(e) > 255-len("-123456_12345.mp4") || strings.HasPrefix(e, ".") || strings.ContainsAny(e, "\x00\\:*?\"<>|") {
				t.Errorf("%q: element %q", text, e)
			}
		}
	})
}

func TestParseRotation(t *testing.T) {
	for _, c := range []struct {
		text string
		want Rotation
		back string
	}{
		{"", Rotation{}, "0"},
		{"0", Rotation{}, "0"},
		{"20M", Rotation{Size: 20 << 20}, "20M"},
		{"64K", Rotation{Size: 64 << 10}, "64K"},
		{"2G", Rotation{Size: 2 << 30}, "2G"},
		{"1T", Rotation{Size: 1 << 40}, "1T"},
		{"2048M", Rotation{Size: 2 << 30}, "2G"},
		{"120", Rotation{Duration: 2 * time.Minute}, "2m0s"},
		{"1h30m0s", Rotation{Duration: 90 * time.Minute}, "1h30m0s"},
		{" 20M , 600 ", Rotation{Size: 20 << 20, Duration: 10 * time.Minute}, "20M,10m0s"},
	} {
		got, err := ParseRotation(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%q: %+v %q %v", c.text, got, got, err)
		}
	}
	for _, text := range []string{
		"20m", "M", "-1", "1.5M", "20MB", "1K", "20M,30M", "60,60", "20M,60,1", ",", "9223372036854775807T", "500ms", "99999999999", "1e9s", "20 M",
	} {
		if got, err := ParseRotation(text); !errors.Is(err, ErrRotation) {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}

func FuzzRotation(f *testing.F) {
	for _, s := range []string{"20M", "120", "1h,2G", "20m", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRotation(text)
		if err != nil {
			if !errors.Is(err, ErrRotation) || r != (Rotation{}) {
				t.Errorf("%q: %+v %v", text, r, err)
			}
			return
		}
		if err := r.check(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if back, err := ParseRotation(r.String()); err != nil || back != r {
			t.Errorf("%q: %q: %+v %v", text, r, back, err)
		}
	})
}

func TestParseFormat(t *testing.T) {
	for text, want := range map[string]Format{"": MP4, "mp4": MP4, "ts": MPEGTS} {
		if got, err := ParseFormat(text); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	if _, err := ParseFormat("avi"); !errors.Is(err, ErrOptions) {
		t.Errorf("avi: %v", err)
	}
}
