// Package demo shows a gateway at work without a PBX: a caller of its own
// places a real SIP video call over the network stack.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	neturl "net/url"
	"sync"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// Run runs a gateway on its default trunk and a [Caller] that calls it until
// ctx ends, and prints to out what to open when the call is up.
func Run(ctx context.Context, cfg gateway.Config, opts gateway.Options, out io.Writer) error {
	if len(cfg.Trunks) > 0 {
		return errors.New("the demo calls the default trunk: it goes without trunks of your own")
	}
	if cfg.RTMPListen == "off" {
		return errors.New("the demo needs the embedded RTMP server")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var failed error
	ready, onEvent := opts.OnReady, opts.OnEvent
	opts.Sources = withClip(opts.Sources)
	var g *gateway.Gateway
	opts.OnReady = func(running *gateway.Gateway) {
		g = running
		if ready != nil {
			ready(g)
		}
		caller := &Caller{To: g.Trunks.Trunk("default").Addr(), Logger: opts.Logger}
		wg.Go(func() {
			if failed = caller.Run(ctx); failed != nil {
				cancel()
			}
		})
	}
	opts.OnEvent = func(e trunkcast.Event) {
		if e.Type == trunkcast.OutputState && e.State == rtmp.Live {
			announce(out, g, e.Session, string(cfg.PlayKey))
		}
		if onEvent != nil {
			onEvent(e)
		}
	}
	err := gateway.Run(ctx, cfg, opts)
	cancel()
	wg.Wait()
	return errors.Join(err, failed)
}

// clipURL is the demo clip as a source of injections.
const clipURL = "demo://clip"

func withClip(own inject.Mux) inject.Mux {
	all := inject.Mux{"demo": inject.OpenerFunc(func(context.Context, string) (media.Source, error) {
		return democlip.Open(), nil
	})}
	maps.Copy(all, own)
	return all
}

// announce prints how to see the call, and how to play something into it. The
// URL has the key that players must have.
func announce(out io.Writer, g *gateway.Gateway, s *trunkcast.Session, key string) {
	url := g.URL("live/" + s.Stream().Name)
	if key != "" {
		url = "'" + url + "?key=" + neturl.QueryEscape(key) + "'" // the shell would take the question mark
	}
	fmt.Fprintf(out, "\nA call is up. See and hear it (a flash and a beep each second):\n\n"+
		"    ffplay %[1]s\n    vlc %[1]s\n", url)
	if rest := g.RESTURL(); rest != "" {
		fmt.Fprintf(out, "\nPlay a clip to the caller, until /terminate in the place of /startup:\n\n"+
			"    curl -H 'Content-Type: application/json' -d '{\"callId\":%q,\"streamName\":%q}' %s/call/inject_stream/startup\n",
			s.ID(), clipURL, rest)
	}
	fmt.Fprint(out, "\nCtrl-C hangs up and ends.\n")
}
