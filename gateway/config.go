package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/internal/yamlfile"
	"github.com/trunkcast/trunkcast/trunk"
)

// The addresses without a configuration. Both are on loopback: nothing is
// asked for a password there.
const (
	DefaultSIPListen  = "127.0.0.1:40000"
	DefaultRTMPListen = "127.0.0.1:1935"
	DefaultHTTPListen = "127.0.0.1:8081"
)

// defaultApplication is where the default trunk publishes on the embedded
// server.
const defaultApplication = "live"

// Config is what a gateway does. The zero value works.
type Config struct {
	// Trunks are the trunks. Default: one on SIPListen, which takes calls from
	// this host only and publishes to the embedded RTMP server.
	Trunks []trunk.Config
	// SIPListen is the address of the default trunk. Default 127.0.0.1:40000;
	// port 0 lets the system choose.
	SIPListen string
	// RTMPListen is the address of the embedded RTMP server, "off" for none;
	// port 0 lets the system choose. Default 127.0.0.1:1935 without Trunks or if
	// one has no URL, else off.
	RTMPListen string
	// HTTPListen is the address of the REST interface, "off" for none. Default
	// 127.0.0.1:8081; port 0 lets the system choose. It asks for no password.
	HTTPListen string
	// MediaFolder holds the files that are played into calls by vod:// and
	// vod-live://. Default: media in the working directory.
	MediaFolder string
	// StandBy is what callers see while nothing is played to them: "black", or
	// a URL such as vod://clip.mp4. Default: nothing.
	StandBy string
	// BlackPictures gives streams of calls without video black pictures.
	BlackPictures bool
	// SourceHosts are names and addresses to which the URLs of what is played
	// into calls may lead, beside public addresses and the hosts of the trunks'
	// URLs. While HTTPListen is on loopback they may lead anywhere.
	SourceHosts []string
	// S3 is where s3:// and vod://s3/ are played from.
	S3 S3Config
	// PublishKey and PlayKey, if set, are asked by the embedded RTMP server as
	// "key" in the query of the stream's name. Calls need none.
	PublishKey, PlayKey trunk.Secret
	// RTMPCert and RTMPKey are PEM files; with both the embedded server speaks
	// RTMPS.
	RTMPCert, RTMPKey string
	// RTMPCA is a PEM file with the authorities of the rtmps servers that calls
	// are published to. Default: those of the system.
	RTMPCA string
	// Record tells how calls are recorded.
	Record RecordConfig
	// MaxCalls is the number of calls at once, all trunks together. Default
	// 10000.
	MaxCalls int
	// ShutdownTimeout bounds the orderly end. Default 4 s.
	ShutdownTimeout time.Duration
	// LogLevel is "debug", "info" (default), "warn" or "error"; LogFormat
	// "text" (default) or "json". They are for programs: Run uses
	// Options.Logger.
	LogLevel, LogFormat string
}

// S3Config tells how to get at Amazon S3, or what speaks its protocol.
type S3Config struct {
	// Endpoint is a URL, or host and port. Default https://s3.amazonaws.com.
	Endpoint string
	// Region is asked for if it is empty.
	Region string
	// AccessKey and SecretKey. Default: those of the environment, the AWS
	// credentials file or the machine's role.
	AccessKey string
	SecretKey trunk.Secret
	// PathStyle puts the bucket into the path rather than the host name.
	PathStyle bool
}

const defaultShutdownTimeout = 4 * time.Second

// LoadConfig reads a gateway.yml. Its trunks are in a file of their own, named
// by the key trunks, whose path is relative to that of the gateway.yml.
// Errors name file, line and key.
func LoadConfig(name string) (Config, error) {
	var c Config
	data, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	root, err := yamlfile.Parse(name, data)
	if err != nil {
		return c, err
	}
	trunks := ""
	fields := map[string]yamlfile.Setter{
		"sipListen":       yamlfile.Parsed(&c.SIPListen, parseListen),
		"rtmpListen":      yamlfile.Parsed(&c.RTMPListen, parseListenOrOff),
		"httpListen":      yamlfile.Parsed(&c.HTTPListen, parseListenOrOff),
		"mediaFolder":     yamlfile.String(&c.MediaFolder),
		"standBy":         yamlfile.String(&c.StandBy),
		"blackPictures":   yamlfile.Bool(&c.BlackPictures),
		"sourceHosts":     yamlfile.Strings(&c.SourceHosts),
		"s3Endpoint":      yamlfile.String(&c.S3.Endpoint),
		"s3Region":        yamlfile.String(&c.S3.Region),
		"s3AccessKey":     yamlfile.String(&c.S3.AccessKey),
		"s3SecretKey":     yamlfile.String(&c.S3.SecretKey),
		"s3PathStyle":     yamlfile.Bool(&c.S3.PathStyle),
		"rtmpPublishKey":  yamlfile.String(&c.PublishKey),
		"rtmpPlayKey":     yamlfile.String(&c.PlayKey),
		"rtmpCert":        yamlfile.String(&c.RTMPCert),
		"rtmpKey":         yamlfile.String(&c.RTMPKey),
		"rtmpCa":          yamlfile.String(&c.RTMPCA),
		"maxCalls":        maxCalls(&c.MaxCalls),
		"shutdownTimeout": yamlfile.Duration(&c.ShutdownTimeout, 100*time.Millisecond, time.Hour),
		"logLevel":        yamlfile.Enum(&c.LogLevel, "debug", "info", "warn", "error"),
		"logFormat":       yamlfile.Enum(&c.LogFormat, "text", "json"),
	}
	maps.Copy(fields, c.Record.fields())
	var file yamlfile.Node
	fields["trunks"] = func(n yamlfile.Node) error {
		file = n
		return yamlfile.String(&trunks)(n)
	}
	errs := []error{root.Fields(fields)}
	if err := c.Record.check(); err != nil {
		errs = append(errs, root.Wrap(err))
	}
	if (c.RTMPCert == "") != (c.RTMPKey == "") {
		errs = append(errs, root.Errorf("rtmpCert and rtmpKey go together"))
	}
	if trunks != "" {
		if !filepath.IsAbs(trunks) {
			trunks = filepath.Join(filepath.Dir(name), trunks)
		}
		var opening *os.PathError
		if c.Trunks, err = trunk.LoadConfig(trunks); errors.As(err, &opening) {
			err = file.Wrap(err)
		}
		errs = append(errs, err)
	}
	return c, yamlfile.Join(errs...)
}

func parseListen(s string) (string, error) {
	if _, err := netip.ParseAddrPort(withHost(s)); err != nil {
		return "", fmt.Errorf("%q is not an address such as 127.0.0.1:1935 or :1935", s)
	}
	return s, nil
}

func parseListenOrOff(s string) (string, error) {
	if s == "off" {
		return s, nil
	}
	return parseListen(s)
}

// withHost completes ":1935" to all addresses.
func withHost(s string) string {
	if strings.HasPrefix(s, ":") {
		return "0.0.0.0" + s
	}
	return s
}

// withDefaults fills in what was not said, except the trunks.
func (c Config) withDefaults() Config {
	if c.SIPListen == "" {
		c.SIPListen = DefaultSIPListen
	}
	if c.RTMPListen == "" {
		c.RTMPListen = "off"
		if c.needsServer() {
			c.RTMPListen = DefaultRTMPListen
		}
	}
	if c.HTTPListen == "" {
		c.HTTPListen = DefaultHTTPListen
	}
	if c.MediaFolder == "" {
		c.MediaFolder = "media"
	}
	if c.ShutdownTimeout <= 0 {
		c.ShutdownTimeout = defaultShutdownTimeout
	}
	return c
}

// defaultTrunk takes calls from this host and publishes them at url.
func defaultTrunk(listen, url string) (trunk.Config, error) {
	addr, err := netip.ParseAddrPort(withHost(listen))
	if err != nil {
		return trunk.Config{}, fmt.Errorf("gateway: SIP address: %w", err)
	}
	register := false
	return trunk.Config{
		Name: "default", ListenAddress: addr.Addr().String(), LocalPort: int(addr.Port()),
		ProxyIP: "127.0.0.1", Register: &register, URL: url,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}, nil
}
