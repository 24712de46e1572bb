// Package rtsptest is an RTSP server for tests.
package rtsptest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// Server plays one source to all who come, as /live; everything else is 404.
type Server struct {
	URL string // of the stream

	server *gortsplib.Server
	stream *gortsplib.ServerStream
	mu     sync.Mutex // held until the stream is there
}

// Serve plays source, H.264 and Opus, in real time until the test ends. With
// udp, media goes over UDP to those who want that, else over TCP only.
func Serve(t testing.TB, source media.Source, udp bool) *Server {
	t.Helper()
	h := &Server{}
	h.mu.Lock()
	h.listen(t, udp)
	video := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1}}}
	audio := &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{&format.Opus{PayloadTyp: 97, ChannelCount: 1}}}
	h.stream = &gortsplib.ServerStream{Server: h.server, Desc: &description.Session{Medias: []*description.Media{video, audio}}}
	if err := h.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	h.mu.Unlock()
	w := &writer{stream: h.stream, video: video, audio: audio}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	player := &inject.Injector{Source: source, Sink: w, Loop: true}
	if err := player.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = player.Close()
		h.stream.Close()
		h.server.Close()
	})
	return h
}

// listen finds ports: those of UDP have to be a pair.
func (h *Server) listen(t testing.TB, udp bool) {
	t.Helper()
	const tries = 20
	var err error
	for range tries {
		port := 20000 + 2*rand.IntN(6000)
		var l net.Listener
		h.server = &gortsplib.Server{
			Handler: h, RTSPAddress: "127.0.0.1:0",
			Listen: func(network, address string) (net.Listener, error) {
				var err error
				l, err = net.Listen(network, address)
				return l, err
			},
		}
		if udp {
			h.server.UDPRTPAddress = fmt.Sprintf("127.0.0.1:%d", port)
			h.server.UDPRTCPAddress = fmt.Sprintf("127.0.0.1:%d", port+1)
		}
		if err = h.server.Start(); err == nil {
			h.URL = fmt.Sprintf("rtsp://%s/live", l.Addr())
			return
		}
	}
	t.Fatal(err)
}

// OnDescribe answers DESCRIBE.
func (h *Server) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Path != "/live" {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, h.stream, nil
}

// OnSetup answers SETUP.
func (h *Server) OnSetup(*gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &base.Response{StatusCode: base.StatusOK}, h.stream, nil
}

// OnPlay answers PLAY.
func (h *Server) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// writer is a media.Sink that sends packets.
type writer struct {
	stream       *gortsplib.ServerStream
	video, audio *description.Media
	pictures     interface {
		Encode(au [][]byte) ([]*rtp.Packet, error)
	}
	sounds interface {
		Encode(frame []byte) (*rtp.Packet, error)
	}
}

func (w *writer) open() (err error) {
	if w.pictures, err = w.video.Formats[0].(*format.H264).CreateEncoder(); err != nil {
		return err
	}
	w.sounds, err = w.audio.Formats[0].(*format.Opus).CreateEncoder()
	return err
}

// WriteFrame sends a frame.
func (w *writer) WriteFrame(_ context.Context, f *media.Frame) error {
	if f.Track.Codec.Audio() {
		p, err := w.sounds.Encode(f.Data[0])
		if err != nil {
			return err
		}
		p.Timestamp = uint32(f.PTS.Microseconds() * 48 / 1000)
		return w.stream.WritePacketRTP(w.audio, p)
	}
	unit := f.Data
	if f.Key {
		unit = append(append([][]byte(nil), f.Track.Config...), unit...)
	}
	packets, err := w.pictures.Encode(unit)
	if err != nil {
		return err
	}
	for _, p := range packets {
		p.Timestamp = uint32(f.PTS.Microseconds() * 9 / 100)
		if err := w.stream.WritePacketRTP(w.video, p); err != nil {
			return err
		}
	}
	return nil
}
