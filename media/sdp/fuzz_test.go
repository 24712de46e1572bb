package sdp

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/offers/*.sdp", "testdata/answers/*.sdp", "testdata/ours/*.sdp"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatal(err, pattern)
		}
		for _, p := range paths {
			body, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
		}
	}
	f.Add([]byte("m=audio 00/9 rtp/savp 00 96 96\na=rtpmap:96 OPUS/48000\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:CfTLyqpSFNTYbDAuv4XKvL6RVO4aMcoRJvNSgo4B|1:4"))
	f.Add([]byte("m=video 1 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 " + string(make([]byte, 100)) + ";=;;packetization-mode=1;profile-level-id=ffffff"))
	f.Add([]byte(trunkBlock))
}

// budget fails if fn allocates more than a fixed amount and a multiple of the
// input. The fuzzing engine allocates beside it, so the best of three counts.
func budget(t *testing.T, input int, factor, fixed uint64, fn func()) {
	t.Helper()
	limit := fixed + factor*uint64(input)
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
		if least <= limit {
			return
		}
	}
	t.Errorf("%d bytes allocated for %d, at most %d", least, input, limit)
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var d *Description
		var err error
		budget(t, len(body), 64, 16<<10, func() { d, err = Parse(body) })
		if err != nil {
			var p *ParseError
			if d != nil || !errors.As(err, &p) && !errors.Is(err, ErrEmpty) {
				t.Fatalf("%v %v", d, err)
			}
			return
		}
		if len(d.Media) > maxMedia {
			t.Fatalf("%d m-lines", len(d.Media))
		}
		if tpl, err := ParseTemplate(body); err == nil {
			o := NewOffer(&Capabilities{Template: tpl}, nil)
			strict(t, o.Marshal(localForOffer(o)))
		}
	})
}

// FuzzMatch: what parses is answered with as many m-lines or refused; what we
// write is strict, is what the next offer keeps, and can be answered by the
// same peer.
func FuzzMatch(f *testing.F) {
	seeds(f)
	caps := []*Capabilities{nil, {SRTP: SRTPRequired, Slides: true, OfferOrder: true},
		{Template: mustTemplate(f, trunkBlock), Lines: mustLines(f, "b=AS:2000", "video:a=framerate:25")}}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := Parse(body)
		if err != nil {
			return
		}
		for _, c := range caps {
			var a *Agreed
			// The factor covers the tables of 128 payload types of each m-line,
			// which take 20 bytes to ask for.
			budget(t, len(body), 1024, 64<<10, func() { a, err = Match(c, nil, d) })
			var no *NotAcceptableError
			if err != nil && !errors.As(err, &no) {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			answer := a.MarshalAnswer(localFor(a))
			followsOffer(t, d, answer)
			for _, o := range []*Offered{ReOffer(c, a), NewOffer(c, a)} {
				again := o.Marshal(localForOffer(o))
				strict(t, again)
				if len(o.Lines) < len(a.Lines) {
					t.Fatalf("%d m-lines after %d", len(o.Lines), len(a.Lines))
				}
				if _, err := o.Accept(d); err != nil && !errors.As(err, &no) {
					t.Fatal(err)
				}
			}
			if next := mustMatch(t, c, a, string(body)); !next.Unchanged {
				t.Fatal("the same offer is a change")
			}
		}
	})
}
