// Command gateway publishes the calls of SIP trunks as RTMP streams.
//
//	gateway -demo                         try it: a trunk, an RTMP server and a caller, all built in
//	gateway -trunks sip_trunk.yml         your PBX and your RTMP server
//	gateway -config gateway.yml           everything by a file
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/trunk"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error, and once
	var sip, rtmp, http string
	flags.Func("sip", "`address` of the default trunk (default "+gateway.DefaultSIPListen+")", sipAddress(&sip))
	flags.Func("rtmp", "`address` of the embedded RTMP server, or off (default "+gateway.DefaultRTMPListen+", with trunks off)", addressOrOff(&rtmp))
	flags.Func("http", "`address` of the REST interface, or off (default "+gateway.DefaultHTTPListen+")", addressOrOff(&http))
	var (
		config  = flags.String("config", "", "read a gateway.yml `file`")
		trunks  = flags.String("trunks", "", "read a sip_trunk.yml `file`")
		level   = flags.String("log", "", "`level`: debug, info, warn or error (default info)")
		isDemo  = flags.Bool("demo", false, "place a call to the default trunk, for ever")
		version = flags.Bool("version", false, "print the version")
	)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "Usage of gateway:")
		flags.SetOutput(os.Stderr)
		flags.PrintDefaults()
		return err
	case err != nil:
		return fmt.Errorf("%w (-help lists the flags)", err)
	case flags.NArg() > 0:
		return fmt.Errorf("%q belongs to no flag: a trunk file is given by -trunks, a gateway.yml by -config", flags.Arg(0))
	}
	if *version {
		fmt.Println(versionText())
		return nil
	}
	cfg, err := load(*config, *trunks)
	if err != nil {
		return err
	}
	if sip != "" && len(cfg.Trunks) > 0 {
		return errors.New("-sip is the address of the default trunk: it goes without trunks of your own, whose key localPort counts")
	}
	override(&cfg.SIPListen, sip)
	override(&cfg.RTMPListen, rtmp)
	override(&cfg.HTTPListen, http)
	override(&cfg.LogLevel, *level)
	log, err := logger(cfg)
	if err != nil {
		return err
	}
	opts := gateway.Options{Logger: log, OnReady: func(g *gateway.Gateway) { fmt.Print(g.Summary()) }}
	if *isDemo {
		return demo.Run(ctx, cfg, opts, os.Stdout)
	}
	return gateway.Run(ctx, cfg, opts)
}

func load(config, trunks string) (cfg gateway.Config, err error) {
	if config != "" {
		if cfg, err = gateway.LoadConfig(config); err != nil {
			return cfg, err
		}
	}
	if trunks != "" {
		cfg.Trunks, err = trunk.LoadConfig(trunks)
	}
	return cfg, err
}

// sipAddress takes an IP address with a port; without the address all.
func sipAddress(p *string) func(string) error {
	return func(s string) error {
		*p = s
		if strings.HasPrefix(s, ":") {
			s = "0.0.0.0" + s
		}
		if _, err := netip.ParseAddrPort(s); err != nil {
			return errors.New("it is not of the form 127.0.0.1:40000 or :40000")
		}
		return nil
	}
}

// addressOrOff takes a host, which may be missing, with a port, or off.
func addressOrOff(p *string) func(string) error {
	return func(s string) error {
		*p = s
		_, port, err := net.SplitHostPort(s)
		if _, errPort := strconv.ParseUint(port, 10, 16); s != "off" && (err != nil || errPort != nil) {
			return errors.New("it is not of the form 127.0.0.1:1935 or :1935, nor off")
		}
		return nil
	}
}

func override(field *string, value string) {
	if value != "" {
		*field = value
	}
}

func logger(cfg gateway.Config) (*slog.Logger, error) {
	var level slog.Level
	if cfg.LogLevel != "" {
		if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
			return nil, fmt.Errorf("-log: %w", err)
		}
	}
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
}

// versionText is what the build knows of itself.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "trunkcast gateway (unknown version)"
	}
	parts := []string{"trunkcast gateway", info.Main.Version, info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.time" {
			parts = append(parts, s.Value)
		}
	}
	return strings.Join(parts, " ")
}
