//go:build peers && long

package aac

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// TestMutations decodes ten million damaged frames (or as many as MUTATIONS in
// the environment says): frames of our encoder at all rates, with bits flipped,
// cut short, spliced, or random from the start. Each is an error that appends
// nothing or a frame of finite samples; together they take no memory but that of
// the errors.
func TestMutations(t *testing.T) {
	count := 10_000_000
	if text := os.Getenv("MUTATIONS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	type format struct{ rate, channels int }
	frames := map[format][][]byte{}
	for channels := 1; channels <= 2; channels++ {
		for _, rate := range encoderRates {
			for _, bitRate := range []int{16000, 128000} {
				e := mustEncoder(t, Codec{}, rate, channels, media.EncoderOptions{BitRate: bitRate * channels})
				f := format{rate, channels}
				frames[f] = append(frames[f], encodeAll(t, e, allSignals(rate, channels, 6))...)
				e.Close()
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decoded, refused, slowest := 0, 0, time.Duration(0)
	pcm, data := make([]float32, 0, 4*frameSize), make([]byte, 0, 4096)
	for i := 0; i < count; {
		channels, rate := 1+r.IntN(2), encoderRates[r.IntN(len(encoderRates))]
		source := frames[format{rate, channels}]
		if r.IntN(4) == 0 { // not what the frames are for
			rate = samplingRates[r.IntN(len(samplingRates))]
		}
		d := mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels})
		for range 100 {
			data = mutate(r, data[:0], source)
			begun := time.Now()
			got, err := d.Decode(pcm[:0], data)
			slowest = max(slowest, time.Since(begun))
			switch {
			case err != nil && len(got) == 0:
				refused++
			case err == nil && len(got) == frameSize*channels:
				decoded++
			default:
				t.Fatalf("%d samples and %v of %x", len(got), err, data)
			}
			checkFinite(t, got)
			if i%16 == 0 {
				checkFinite(t, d.Conceal(pcm[:0], frameSize, data))
			}
			i++
		}
		d.Close()
	}
	runtime.ReadMemStats(&after)
	spent := float64(after.TotalAlloc-before.TotalAlloc) / float64(count)
	t.Logf("%d decoded, %d refused, %.0f bytes allocated for each, slowest %v, heap %d KB", decoded, refused, spent, slowest, after.HeapAlloc>>10)
	if spent > 1024 || after.HeapAlloc > before.HeapAlloc+16<<20 {
		t.Errorf("%.0f bytes allocated for each, heap from %d to %d", spent, before.HeapAlloc, after.HeapAlloc)
	}
}

// mutate appends a damaged frame.
func mutate(r *rand.Rand, data []byte, frames [][]byte) []byte {
	data = append(data, frames[r.IntN(len(frames))]...)
	switch r.IntN(8) {
	case 0: // random bytes after the element's identifier
		for i := 1; i < len(data); i++ {
			data[i] = byte(r.Uint32())
		}
	case 1: // cut short
		data = data[:r.IntN(len(data)+1)]
	case 2: // the head of one and the tail of another
		other := frames[r.IntN(len(frames))]
		data = append(data[:r.IntN(len(data)+1)], other[r.IntN(len(other)+1):]...)
	default: // bits, more often in the side information
		for range 1 + r.IntN(4) {
			within := len(data)
			if r.IntN(2) == 0 {
				within = min(within, 24)
			}
			data[r.IntN(within)] ^= 1 << r.IntN(8)
		}
	}
	return data
}
