package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway/api"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/listener"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/g722"
	"github.com/trunkcast/trunkcast/media/opus"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
)

// Options are what a program adds to a gateway. The zero value adds nothing.
type Options struct {
	// Listeners see and rewrite every SIP message, in this order.
	Listeners []listener.SipMessageListener
	// Plan decides what happens with a call: see trunkcast.Bridge. It is given
	// the plan of the configuration and may change it.
	Plan func(ctx context.Context, c *trunk.Call, p *trunkcast.Plan) error
	// Sources opens what is played into calls for schemes of one's own, or in
	// the place of the gateway's.
	Sources inject.Mux
	// OnEvent is told what happens to calls. It must not block.
	OnEvent func(trunkcast.Event)
	// OnRegistration is told changes of a trunk's registration. It must not
	// block.
	OnRegistration func(*trunk.Trunk, trunk.Registration)
	// OnRefused is told each call that a trunk refused before it had a plan. It
	// must not block.
	OnRefused func(trunk.Refusal)
	// OnRecord is told what happens to the files of recorded calls. It must not
	// block.
	OnRecord func(record.Event)
	// OnReady is called once everything listens. It must not block.
	OnReady func(*Gateway)
	// Logger gets what happens. Nil discards.
	Logger *slog.Logger
}

// Gateway is a gateway that runs.
type Gateway struct {
	Trunks *trunk.Server
	Bridge *trunkcast.Bridge
	// RTMP is the embedded server, nil if it is off. RTMPAddr is where it
	// listens.
	RTMP     *rtmp.Server
	RTMPAddr net.Addr
	// HTTPAddr is where the REST interface listens, nil if it is off.
	HTTPAddr net.Addr

	cfg      Config
	trunks   []trunk.Config
	recorder *record.Recorder
	finisher *record.Finisher
	opts     Options
	log      *slog.Logger
	http     *http.Server
	api      *api.Handler
	closers  []func()   // of what waits for nothing any more
	fail     chan error // what ended a server by itself
	wg       sync.WaitGroup
}

// Codecs are all audio codecs that this module has.
func Codecs() []media.AudioCodec {
	return []media.AudioCodec{aac.Codec{}, opus.Codec{}, g722.Codec{}, g711.ALaw{}, g711.ULaw{}}
}

// Run runs a gateway until ctx ends, then hangs up, unregisters and unpublishes
// within Config.ShutdownTimeout. It returns nil after an orderly end, else
// what went wrong: a [*ListenError] if an address is taken.
func Run(ctx context.Context, cfg Config, opts Options) error {
	if err := cfg.check(&opts); err != nil {
		return err
	}
	g := &Gateway{cfg: cfg.withDefaults(), opts: opts, log: opts.Logger, fail: make(chan error, 1)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	for _, w := range cfg.missing() {
		g.log.Warn("configuration", "warning", w)
	}
	// The servers end by shutdown, in order, not by ctx.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := g.start(running); err != nil {
		g.shutdown(ctx)
		return err
	}
	if opts.OnReady != nil {
		opts.OnReady(g)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-g.fail:
		g.log.Error("gateway ends", "error", err)
	}
	return errors.Join(err, g.shutdown(ctx))
}

// start opens the RTMP server, then the trunks that publish to it.
func (g *Gateway) start(ctx context.Context) error {
	if err := g.startRTMP(ctx); err != nil {
		return err
	}
	var err error
	if g.trunks, err = g.loadTrunks(); err != nil {
		return err
	}
	g.Bridge = &trunkcast.Bridge{Codecs: Codecs(), OpenTarget: g.openTarget, Sources: g.sources(), OnEvent: g.opts.OnEvent, Logger: g.log}
	if g.Bridge.TLS, err = g.publisherTLS(); err != nil {
		return err
	}
	g.Bridge.Plan = g.plan
	if err := g.startRecorder(); err != nil {
		return err
	}
	g.Trunks = &trunk.Server{
		Trunks: g.trunks, Handler: g.Bridge, Limits: trunk.Limits{MaxCalls: g.cfg.MaxCalls},
		OnRegistration: g.opts.OnRegistration, OnRefused: g.opts.OnRefused, Logger: g.log,
	}
	if len(g.opts.Listeners) > 0 {
		g.Trunks.Listener = listener.Chain(g.opts.Listeners)
	}
	if err := g.listenError(g.Trunks.Start(ctx)); err != nil {
		return err
	}
	g.wg.Go(func() {
		<-g.Trunks.Done()
		if err := g.Trunks.Err(); !errors.Is(err, trunk.ErrServerClosed) {
			g.failed(fmt.Errorf("gateway: SIP: %w", err))
		}
	})
	return g.startHTTP(ctx)
}

// loadTrunks are those of the configuration, or the default one.
func (g *Gateway) loadTrunks() ([]trunk.Config, error) {
	if len(g.cfg.Trunks) == 0 {
		url := ""
		if g.RTMP != nil {
			url = g.URL(defaultApplication)
		}
		t, err := defaultTrunk(g.cfg.SIPListen, url)
		return []trunk.Config{t}, err
	}
	return g.cfg.Trunks, nil
}

func (g *Gateway) plan(ctx context.Context, c *trunk.Call) (*trunkcast.Plan, error) {
	p, err := g.Bridge.DefaultPlan(ctx, c)
	if err != nil {
		return nil, err
	}
	p.StandBy, p.BlackPictures = g.cfg.StandBy, g.cfg.BlackPictures
	p.RecordNotice = g.cfg.Record.Notice
	if g.opts.Plan == nil {
		return p, nil
	}
	return p, g.opts.Plan(ctx, c, p)
}

// startRTMP opens the embedded server.
func (g *Gateway) startRTMP(ctx context.Context) error {
	if g.cfg.RTMPListen == "off" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.RTMPListen)
	if err != nil {
		return &ListenError{What: "RTMP server", Addr: g.cfg.RTMPListen, Option: "rtmpListen", Flag: "-rtmp", Err: err}
	}
	g.RTMPAddr = l.Addr()
	g.RTMP = &rtmp.Server{
		PublishKey: string(g.cfg.PublishKey), PlayKey: string(g.cfg.PlayKey), Logger: g.log,
	}
	if g.cfg.RTMPCert != "" {
		cert, err := tls.LoadX509KeyPair(g.cfg.RTMPCert, g.cfg.RTMPKey)
		if err != nil {
			return errors.Join(fmt.Errorf("gateway: rtmpCert: %w", err), l.Close())
		}
		g.RTMP.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	g.wg.Go(func() {
		if err := g.RTMP.Serve(ctx, l); err != nil && !errors.Is(err, rtmp.ErrServerClosed) {
			g.failed(fmt.Errorf("gateway: RTMP server: %w", err))
		}
	})
	return nil
}

// failed ends the gateway for what ended a server of it.
func (g *Gateway) failed(err error) {
	select {
	case g.fail <- err:
	default: // it ends already
	}
}

// shutdown ends everything in the order in which media flows. ctx has ended
// already, or something failed: only its values count.
func (g *Gateway) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.ShutdownTimeout)
	defer cancel()
	var errs []error
	if g.http != nil {
		errs = append(errs, g.http.Close())
		g.api.Close()
	}
	if g.Trunks != nil {
		errs = append(errs, g.Trunks.Shutdown(ctx))
		errs = append(errs, g.Bridge.Shutdown(ctx))
		errs = append(errs, g.Trunks.Close())
		errs = append(errs, g.stopRecorder(ctx))
	}
	if g.RTMP != nil {
		errs = append(errs, g.RTMP.Close())
	}
	for _, closeIdle := range g.closers {
		closeIdle()
	}
	g.wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: not everything ended in order within %v: %w", g.cfg.ShutdownTimeout, err)
	}
	return nil
}
