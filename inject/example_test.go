package inject_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// How to play a file of a folder to a sink, which in a call is its media
// session.
func Example() {
	var sources inject.Opener = inject.Mux{"vod": inject.FolderOpener{Dir: "testdata"}}
	source, err := sources.Open(context.Background(), "vod://alaw.wav")
	if err != nil {
		fmt.Println(err)
		return
	}
	var frames int
	injector := &inject.Injector{
		Source: source,
		Sink:   media.SinkFunc(func(context.Context, *media.Frame) error { frames++; return nil }),
		Audio:  []media.Codec{media.PCMA, media.Opus},
	}
	if err := injector.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	<-injector.Done()
	fmt.Println(frames, "frames, then", injector.Err())
	// Output: 25 frames, then EOF
}

// How to read a file without playing it.
func ExampleOpen() {
	r, err := os.Open(filepath.Join("testdata", "bframes.mp4"))
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := r.Stat()
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := inject.Open(context.Background(), r, info.Size(), inject.FileOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, t := range f.Tracks() {
		fmt.Println(t.Codec, t.ClockRate, "Hz")
	}
	at, err := f.Seek(1500 * time.Millisecond)
	fmt.Println("from", at, err)
	n := 0
	for ; err == nil; n++ {
		_, err = f.ReadFrame(context.Background())
	}
	fmt.Println(err == io.EOF)
	// Output:
	// H264 90000 Hz
	// AAC 48000 Hz
	// from 1s <nil>
	// true
}
