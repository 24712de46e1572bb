package rtmp_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// How does a stream of frames get to an RTMP server?
func ExamplePublisher() {
	var call media.Source // whatever gives frames

	p := &rtmp.Publisher{
		URL:        "rtmps://live.example.com/live?token=secret",
		StreamName: "rtmp_100",
		Logger:     slog.Default(),
		OnState: func(s rtmp.State, err error) {
			if err != nil {
				log.Printf("%v: %v", s, err) // tried again, unless s is Closed
			}
		},
	}
	defer func() { _ = p.Close() }()

	ctx := context.Background()
	for {
		f, err := call.ReadFrame(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = p.WriteFrame(ctx, f)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// How does a program serve its own streams, and ask publishers for a token?
func ExampleServer() {
	s := &rtmp.Server{
		Addr: ":1935",
		OnPublish: func(_ context.Context, r *rtmp.Request) error {
			if r.Query.Get("token") != "let me in" {
				return errors.New("wrong token")
			}
			return nil
		},
	}
	stream, err := s.Publish("live/rtmp_100", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = stream.Close() }() // its WriteFrame feeds the players of rtmp://host/live/rtmp_100

	if err := s.ListenAndServe(context.Background()); !errors.Is(err, rtmp.ErrServerClosed) {
		log.Fatal(err)
	}
}
