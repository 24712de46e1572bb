package aac_test

import (
	"fmt"
	"math"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
)

// A tone goes through an encoder and a decoder.
func Example() {
	encoder, err := aac.Codec{}.NewEncoder(&media.Track{ClockRate: 48000, Channels: 1}, media.EncoderOptions{BitRate: 64000})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer encoder.Close()
	decoder, err := aac.Codec{}.NewDecoder(encoder.Track())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer decoder.Close()

	tone := make([]float32, encoder.FrameSize())
	var frame []byte
	var pcm []float32
	for n := range 10 {
		for i := range tone {
			tone[i] = float32(math.Sin(2 * math.Pi * 1000 * float64(n*len(tone)+i) / 48000))
		}
		if frame, err = encoder.Encode(frame[:0], tone); err != nil {
			fmt.Println(err)
			return
		}
		if pcm, err = decoder.Decode(pcm, frame); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("configuration %x, delay %d samples, %d samples decoded\n", encoder.Track().Config[0], encoder.Delay(), len(pcm))
	// Output: configuration 1188, delay 1600 samples, 10240 samples decoded
}
