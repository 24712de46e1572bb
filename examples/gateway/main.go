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
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/trunk"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	var (
		config  = flags.String("config", "", "read a gateway.yml `file`")
		trunks  = flags.String("trunks", "", "read a sip_trunk.yml `file`")
		sip     = flags.String("sip", "", "`address` of the default trunk (default "+gateway.DefaultSIPListen+")")
		rtmp    = flags.String("rtmp", "", "`address` of the embedded RTMP server, or off (default "+gateway.DefaultRTMPListen+")")
		http    = flags.String("http", "", "`address` of the REST interface, or off (default "+gateway.DefaultHTTPListen+")")
		level   = flags.String("log", "", "`level`: debug, info, warn or error (default info)")
		isDemo  = flags.Bool("demo", false, "place a call to the default trunk, for ever")
		version = flags.Bool("version", false, "print the version")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version {
		fmt.Println(versionText())
		return nil
	}
	cfg, err := load(*config, *trunks)
	if err != nil {
		return err
	}
	override(&cfg.SIPListen, *sip)
	override(&cfg.RTMPListen, *rtmp)
	override(&cfg.HTTPListen, *http)
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
