package depacketize

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

// raw reads hexadecimal bytes with spaces.
func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type pusher interface {
	Push(p *Picture, b []byte) error
}

func units(p *Picture) (list [][]byte) {
	for i := range p.Len() {
		list = append(list, bytes.Clone(p.Unit(i)))
	}
	return list
}

func TestPush(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		d        pusher
		payloads string // separated by commas
		want     string // NAL units
		open     bool
		err      error // of the last payload
	}{
		"264 single":                      {d: H264{}, payloads: "41 01 02", want: "410102"},
		"264 single, start code":          {d: H264{}, payloads: "00000001 65 01, 000001 41 02", want: "6501,4102"},
		"264 STAP-A":                      {d: H264{}, payloads: "78 0002 6701 0003 680203", want: "6701,680203"},
		"264 STAP-A, empty unit, padding": {d: H264{}, payloads: "78 0000 0002 6701 0000", want: "6701"},
		"264 STAP-A cut":                  {d: H264{}, payloads: "78 0002 6701 0009 6802", want: "6701", err: ErrTruncated},
		"264 STAP-B":                      {d: H264{}, payloads: "79 0007 0002 6701", want: "6701"},
		"264 MTAP16":                      {d: H264{}, payloads: "7a 0007 0002 01 0203 6701", want: "6701"},
		"264 MTAP24":                      {d: H264{}, payloads: "7b 0007 0002 01 020304 6701", want: "6701"},
		"264 FU-A":                        {d: H264{}, payloads: "7c 85 01, 7c 05 02, 7c 45 03", want: "65010203"},
		"264 FU-A in one":                 {d: H264{}, payloads: "5c c1 01", want: "4101"},
		"264 FU-B":                        {d: H264{}, payloads: "7d 85 0001 01, 7c 45 03", want: "650103"},
		"264 FU-A not ended":              {d: H264{}, payloads: "7c 85 01, 7c 05 02", open: true},
		"264 FU-A begun twice":            {d: H264{}, payloads: "7c 85 01, 7c 85 02, 7c 45 03", want: "650203"},
		"264 FU-A without beginning":      {d: H264{}, payloads: "7c 05 02", err: ErrFragment},
		"264 FU-A cut":                    {d: H264{}, payloads: "7c", err: ErrTruncated},
		"264 reserved":                    {d: H264{}, payloads: "7f 01", err: ErrType},
		"264 nothing":                     {d: H264{}, payloads: ""},
		"265 single":                      {d: H265{}, payloads: "2601 aa", want: "2601aa"},
		"265 single, DONL":                {d: H265{DONL: true}, payloads: "2601 0005 aa", want: "2601aa"},
		"265 AP":                          {d: H265{}, payloads: "6001 0003 4001aa 0004 4201bbcc", want: "4001aa,4201bbcc"},
		"265 AP, DONL":                    {d: H265{DONL: true}, payloads: "6001 0005 0003 4001aa 00 0004 4201bbcc", want: "4001aa,4201bbcc"},
		"265 AP cut":                      {d: H265{DONL: true}, payloads: "6001 0005 0003 4001aa 00 0009 42", want: "4001aa", err: ErrTruncated},
		"265 FU":                          {d: H265{}, payloads: "6201 93 01, 6201 13 02, 6201 53 03", want: "2601010203"},
		"265 FU, DONL":                    {d: H265{DONL: true}, payloads: "6201 93 0005 01, 6201 53 03", want: "26010103"},
		"265 FU without beginning":        {d: H265{}, payloads: "6201 53 03", err: ErrFragment},
		"265 PACI":                        {d: H265{}, payloads: "6401 26 10 ff aa", want: "2601aa"},
		"265 PACI with FU":                {d: H265{}, payloads: "6401 62 00 93 01, 6401 62 00 53 02", want: "26010102"},
		"265 PACI in PACI":                {d: H265{}, payloads: "6401 64 00 aa", err: ErrTruncated},
		"265 one byte":                    {d: H265{}, payloads: "26", err: ErrTruncated},
		"265 reserved":                    {d: H265{}, payloads: "7001 aa", err: ErrType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p Picture
			var err error
			for _, s := range strings.Split(c.payloads, ",") {
				err = c.d.Push(&p, raw(t, strings.TrimSpace(s)))
			}
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Errorf("error %v, want %v", err, c.err)
			}
			var got []string
			for _, u := range units(&p) {
				got = append(got, hex.EncodeToString(u))
			}
			if s := strings.Join(got, ","); s != c.want || p.Open() != c.open {
				t.Errorf("units %s, open %v; want %s, %v", s, p.Open(), c.want, c.open)
			}
		})
	}
}

func TestPictureIsBounded(t *testing.T) {
	t.Parallel()
	var p Picture
	start, more := append([]byte{0x7c, 0x85}, make([]byte, 1200)...), append([]byte{0x7c, 0x05}, make([]byte, 1200)...)
	err := H264{}.Push(&p, start)
	n := 0
	for ; err == nil; n++ {
		err = H264{}.Push(&p, more)
	}
	if !errors.Is(err, ErrTooLarge) || n*1200 < MaxPicture-2400 || cap(p.buf) > 2*MaxPicture {
		t.Errorf("%v after %d packets, %d bytes of memory", err, n, cap(p.buf))
	}
	p.Reset()
	small := append([]byte{0x78}, bytes.Repeat([]byte{0, 1, 0x41}, 400)...)
	for err, n = nil, 0; err == nil && n < 1000; n++ {
		err = H264{}.Push(&p, small)
	}
	if !errors.Is(err, ErrTooLarge) || p.Len() > maxUnits {
		t.Errorf("%d NAL units, %v", p.Len(), err)
	}
}

func TestNAL(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Kind{
		"41 9a": Slice, "65 88": Key, "06 05": SEI, "67 42": SPS, "68 ce": PPS, "09 10": Delimiter, "0c ff": Delimiter, "67": Delimiter, "0e 00": Other,
	} {
		if got := H264Kind(raw(t, s)); got != want {
			t.Errorf("H.264 %s: %d, want %d", s, got, want)
		}
	}
	for s, want := range map[string]Kind{
		"0201 d0": Slice, "2601 af": Key, "2a01 af": Key, "4001 0c": VPS, "4201 01": SPS, "4401 c0": PPS,
		"4601 50": Delimiter, "4e01 05": SEI, "5001 05": Other, "4001": Delimiter,
	} {
		if got := H265Kind(raw(t, s)); got != want {
			t.Errorf("H.265 %s: %d, want %d", s, got, want)
		}
	}
	// first_mb_in_slice 0 (1), slice_type 7 (0001000), PPS 2 (011); then first_mb 1 (010).
	if h, ok := H264Slice([]byte{0x65, 0b1_0001000, 0b011_00000}); !ok || !h.First || h.PPS != 2 {
		t.Errorf("first slice: %+v %v", h, ok)
	}
	if h, ok := H264Slice([]byte{0x41, 0b010_1_1_000}); !ok || h.First || h.PPS != 0 {
		t.Errorf("second slice: %+v %v", h, ok)
	}
	if _, ok := H264Slice([]byte{0x41, 0}); ok {
		t.Error("a slice without a header is read")
	}
	// Emulation prevention: first_mb is so large that its code begins with 16 zeros.
	if h, ok := H264Slice([]byte{0x41, 0, 0, 3, 0x80, 0, 0b111_00000}); !ok || h.First || h.PPS != 0 {
		t.Errorf("slice with an escape: %+v %v", h, ok)
	}
	if h, ok := H265Slice([]byte{0x26, 1, 0b1_0_010_000}); !ok || !h.First || h.PPS != 1 {
		t.Errorf("H.265 key slice: %+v %v", h, ok)
	}
	if id, ok := H264SPSID([]byte{0x67, 0x42, 0xc0, 0x0d, 0b00100_000}); !ok || id != 3 {
		t.Errorf("SPS %d %v", id, ok)
	}
	if id, sps, ok := H264PPSIDs([]byte{0x68, 0b010_1_0000}); !ok || id != 1 || sps != 0 {
		t.Errorf("PPS %d of SPS %d %v", id, sps, ok)
	}
}

func TestRecoveryPoint(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"06 06 01 c4 80":             true,
		"06 05 02 0102 06 01 c4 80":  true,
		"06 05 02 0602 80":           false,
		"06 ff 05 01 06 06 01 c4 80": true,
		"06 05 ff":                   false,
		"06 05 09 06 01 c4 80":       false,
		"06":                         false,
	} {
		if got := RecoveryPoint(raw(t, s), 1); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

// FuzzPush: any payloads give NAL units of no more bytes than came in (and a
// header for each fragmented one), without a panic.
func FuzzPush(f *testing.F) {
	f.Add([]byte("\x03\x41\x01\x02\x08\x78\x00\x02\x67\x01\x00\x01\x68\x04\x7c\x85\x01\x02\x03\x7c\x45\x09"), uint8(0))
	f.Add([]byte("\x06\x60\x01\x00\x02\x40\x01\x04\x62\x01\x93\x01\x05\x64\x01\x26\x00\x10"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, mode uint8) {
		d := []pusher{H264{}, H265{}, H265{DONL: true}}[int(mode)%3]
		var p Picture
		size := 0
		for rest := in; len(rest) > 0; {
			n := min(int(rest[0]), len(rest)-1)
			payload := bytes.Clone(rest[1 : 1+n])
			rest = rest[1+n:]
			size += n
			_ = d.Push(&p, payload)
		}
		total := 0
		for _, u := range units(&p) {
			if len(u) == 0 {
				t.Fatal("an empty NAL unit")
			}
			total += len(u)
			if len(u) > 2 {
				H264Kind(u)
				H264Slice(u)
				H264SPSID(u)
				H264PPSIDs(u)
				H265Kind(u)
				H265Slice(u)
				H265PPSIDs(u)
				RecoveryPoint(u, 1)
			}
		}
		if total > size {
			t.Errorf("%d bytes of %d", total, size)
		}
	})
}

func TestPushDoesNotAllocate(t *testing.T) {
	var p Picture
	packets := [][]byte{append([]byte{0x7c, 0x85}, make([]byte, 1200)...), append([]byte{0x7c, 0x05}, make([]byte, 1200)...),
		append([]byte{0x7c, 0x45}, make([]byte, 1200)...), {0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1}}
	n := testing.AllocsPerRun(100, func() {
		p.Reset()
		for _, b := range slices.Backward(packets) {
			_ = H264{}.Push(&p, b)
		}
		for _, b := range packets {
			_ = H264{}.Push(&p, b)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a picture", n)
	}
}
