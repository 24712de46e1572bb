package media_test

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// A stream whose writer sends G.711, with a sink that takes it as it is and
// one that wants AAC.
func ExampleStream() {
	s := &media.Stream{Name: "rtmp_100", Codecs: []media.AudioCodec{aac.Codec{}, g711.ULaw{}}}
	show := func(name string) media.Sink {
		seen := map[media.Codec]bool{}
		return media.SinkFunc(func(_ context.Context, f *media.Frame) error {
			if c := f.Track.Codec; !seen[c] {
				seen[c] = true
				fmt.Printf("%s: %s, %d Hz\n", name, c, f.Track.ClockRate)
			}
			return nil
		})
	}
	plain, err := s.Attach(show("plain"), media.SinkOptions{})
	if err != nil {
		fmt.Println(err)
	}
	frames := mediatest.Merge(time.Second, &mediatest.Video{}, &mediatest.Audio{})
	_ = mediatest.Feed(context.Background(), s, frames)
	_ = plain.Close()

	if _, err := s.Attach(show("aac"), media.SinkOptions{Audio: []media.Codec{media.AAC}, NoVideo: true}); err != nil {
		fmt.Println(err)
	}
	audio := &mediatest.Audio{At: time.Second}
	_ = mediatest.Feed(context.Background(), s, mediatest.Merge(2*time.Second, audio))
	_ = s.CloseWrite() // returns when all was written
	// Output:
	// plain: H264, 90000 Hz
	// plain: PCMU, 8000 Hz
	// aac: AAC, 48000 Hz
}
