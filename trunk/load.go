package trunk

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/internal/yamlfile"
)

// LoadConfig reads a sip_trunk.yml. Errors, all that there are, name file, line
// and key. Warnings about what is read but probably not meant are in
// Config.Warnings; a [Server] logs them when it starts.
func LoadConfig(name string) ([]Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	trunks, _, err := ParseConfig(name, data)
	return trunks, err
}

// ParseConfig reads the text of a sip_trunk.yml; name is used in messages. The
// warnings are those of all trunks.
// Next to the shape that was meant, trunks below the key "trunks", it reads
// the one that the product's manual prints, where an empty "trunks:" is
// followed by trunks in column 0.
func ParseConfig(name string, data []byte) (trunks []Config, warnings []string, err error) {
	root, err := yamlfile.Parse(name, data)
	if err != nil {
		return nil, nil, err
	}
	entries, err := root.Entries()
	if err != nil {
		return nil, nil, err
	}
	var list []yamlfile.Entry
	var errs []error
	stray := map[string]string{} // warnings of trunks beside "trunks:"
	emptyTrunks := false
	for _, e := range entries {
		switch {
		case e.Key == "trunks" && e.Value.Empty():
			emptyTrunks = true
		case e.Key == "trunks":
			below, err := e.Value.Entries()
			if err != nil {
				errs = append(errs, err)
			}
			list = append(list, below...)
		case emptyTrunks && e.Value.IsMap():
			stray[e.Key] = fmt.Sprintf("%s:%d: %s stands beside trunks:, not below it; read as a trunk (indent it by one space)",
				name, e.Value.Line(), e.Key)
			list = append(list, e)
		default:
			errs = append(errs, e.Value.Errorf("unknown key (known: trunks)"))
		}
	}
	if len(list) == 0 && len(errs) == 0 {
		errs = append(errs, root.Errorf("no trunks"))
	}
	for _, e := range list {
		c := Config{Name: e.Key}
		if w := stray[e.Key]; w != "" {
			c.Warnings = append(c.Warnings, w)
		}
		if err := c.load(e.Value); err != nil {
			errs = append(errs, err)
		}
		warnings = append(warnings, c.Warnings...)
		trunks = append(trunks, c)
	}
	for i := range trunks {
		if w := trunks[i].likeOne(trunks[:i]); w != "" {
			trunks[i].Warnings = append(trunks[i].Warnings, w)
			warnings = append(warnings, w)
		}
	}
	if err := yamlfile.Join(errs...); err != nil {
		return nil, warnings, err
	}
	return trunks, warnings, nil
}

// likeOne warns of a trunk before c to which the calls of c would go: both have
// the same PBX and socket, and no login tells them apart (see socket.trunkFor).
func (c *Config) likeOne(before []Config) string {
	d := c.withDefaults()
	for _, o := range before {
		x := o.withDefaults()
		if x.LocalPort == d.LocalPort && x.ListenAddress == d.ListenAddress && x.ProxyIP == d.ProxyIP && x.RemotePort == d.RemotePort && x.Login == d.Login {
			return c.KeyError("localPort", fmt.Errorf("trunk %s has the same localPort and proxyIp as trunk %s, and no login of its own: "+
				"calls go to %s, but for those to the name that %s registers", c.Name, o.Name, o.Name, c.Name)).Error()
		}
	}
	return ""
}

// origin is where the keys of a Config stood, by key, for what is only found
// after reading.
type origin struct{ lines map[string]yamlfile.Node }

// KeyError is an error about a key: with file and line, if c was read from a
// file and has the key, else with the trunk's name.
func (c *Config) KeyError(key string, err error) error {
	if c.origin != nil {
		if n, ok := c.origin.lines[key]; ok {
			return n.Wrap(err)
		}
	}
	return &ConfigError{Trunk: c.Name, Err: fmt.Errorf("%s: %w", key, err)}
}

// The bounds of the jitter buffer: those that may be configured, and those that
// it has where nothing is.
const (
	minJitter      = 10 * time.Millisecond
	maxJitter      = 2 * time.Second
	usualJitterMin = 40 * time.Millisecond
	usualJitterMax = 400 * time.Millisecond
)

// load reads one trunk.
func (c *Config) load(n yamlfile.Node) error {
	lines := map[string]yamlfile.Node{}
	c.origin = &origin{lines}
	fields := c.fields()
	for key, set := range fields {
		fields[key] = func(n yamlfile.Node) error {
			lines[key] = n
			return set(n)
		}
	}
	if err := n.Fields(fields, "localPort", "proxyIp", "url"); err != nil {
		return err
	}
	if c.TLSCert != "" && c.TLSKey == "" {
		return lines["tlsCert"].Errorf("it goes together with tlsKey, which is missing")
	}
	if c.TLSKey != "" && c.TLSCert == "" {
		return lines["tlsKey"].Errorf("it goes together with tlsCert, which is missing")
	}
	if c.Password != "" && c.Login == "" && c.AuthUser == "" {
		return lines["password"].Errorf("a password without login or authUser")
	}
	if low, high := cmp.Or(c.JitterMin, usualJitterMin), cmp.Or(c.JitterMax, usualJitterMax); low > high {
		if c.JitterMin == 0 {
			return lines["jitterMax"].Errorf("%v is below jitterMin %v", high, low)
		}
		return lines["jitterMin"].Errorf("%v is above jitterMax %v", low, high)
	}
	c.Warnings = append(c.Warnings, c.bandwidthWarnings(lines["sdpParams"])...)
	return nil
}

// fields lists the keys of a trunk.
func (c *Config) fields() map[string]yamlfile.Setter {
	const day = 24 * time.Hour
	return map[string]yamlfile.Setter{
		"localPort":   yamlfile.Int(&c.LocalPort, 1, 65535),
		"proxyIp":     yamlfile.Parsed(&c.ProxyIP, parseHost),
		"remotePort":  yamlfile.Int(&c.RemotePort, 1, 65535),
		"url":         yamlfile.Parsed(&c.URL, parseRTMPURL),
		"visibleName": yamlfile.String(&c.VisibleName),
		"sdp":         yamlfile.String(&c.SDP),
		"sdpParams":   yamlfile.ParsedList(&c.SDPParams, parseSDPParam),

		"login":             yamlfile.String(&c.Login),
		"authUser":          yamlfile.String(&c.AuthUser),
		"password":          yamlfile.String(&c.Password),
		"domain":            yamlfile.Parsed(&c.Domain, parseHost),
		"register":          optionalBool(&c.Register),
		"expires":           yamlfile.Duration(&c.Expires, time.Minute, 7*day),
		"transport":         yamlfile.Enum(&c.Transport, "udp", "tcp", "tls"),
		"largeRequests":     yamlfile.Enum(&c.LargeRequests, "udp", "tcp"),
		"reliable":          yamlfile.Enum(&c.Reliable, "supported", "off", "required"),
		"transfers":         yamlfile.Enum(&c.Transfers, "refuse", "accept", "follow"),
		"earlyMedia":        yamlfile.Duration(&c.EarlyMedia, 0, 3*time.Minute),
		"keepAlive":         durationOrOff(&c.KeepAlive, time.Hour),
		"listenAddress":     yamlfile.Parsed(&c.ListenAddress, parseIP),
		"publicAddress":     yamlfile.Parsed(&c.PublicAddress, parseHost),
		"mediaAddress":      yamlfile.Parsed(&c.MediaAddress, parseHost),
		"localNets":         yamlfile.ParsedList(&c.LocalNets, parsePrefix),
		"allow":             yamlfile.ParsedList(&c.Allow, parsePrefix),
		"strangers":         yamlfile.Enum(&c.Strangers, "refuse", "silent"),
		"callerUsers":       callerUsers(&c.CallerUsers),
		"maxCalls":          yamlfile.Int(&c.MaxCalls, 0, 1_000_000),
		"numberFrom":        yamlfile.Enum(&c.NumberFrom, "auto", "request-uri", "to", "p-called-party-id", "diversion"),
		"tlsCert":           yamlfile.String(&c.TLSCert),
		"tlsKey":            yamlfile.String(&c.TLSKey),
		"tlsPort":           yamlfile.Int(&c.TLSPort, 1, 65535),
		"tlsCa":             yamlfile.String(&c.TLSCA),
		"strictSDP":         yamlfile.Bool(&c.StrictSDP),
		"mediaPorts":        yamlfile.Parsed(&c.MediaPorts, parsePortRange),
		"latching":          yamlfile.Enum(&c.Latching, "auto", "on", "off"),
		"mediaTimeout":      durationOrOff(&c.MediaTimeout, day),
		"forceRTCPFeedback": yamlfile.Bool(&c.ForceRTCPFeedback),
		"keyFrameInterval":  durationOrOff(&c.KeyFrameInterval, time.Hour),
		"jitterMin":         yamlfile.Duration(&c.JitterMin, minJitter, maxJitter),
		"jitterMax":         yamlfile.Duration(&c.JitterMax, minJitter, maxJitter),
		"damagedVideo":      yamlfile.Enum(&c.DamagedVideo, "hold", "pass"),
		"maxFreeze":         yamlfile.Duration(&c.MaxFreeze, 0, time.Hour),
		"maxVideoBitRate":   yamlfile.Int(&c.MaxVideoBitRate, 0, 1_000_000_000),

		"streamName":   yamlfile.Parsed(&c.StreamName, parseNotEmpty),
		"sameNumber":   yamlfile.Enum(&c.SameNumber, "suffix", "refuse", "replace"),
		"audio":        yamlfile.Enum(&c.Audio, "aac", "copy", "opus"),
		"audioBitRate": yamlfile.Int(&c.AudioBitRate, 8000, 512_000),
		"record":       yamlfile.Bool(&c.Record),
	}
}

// bandwidthWarnings tells of b=RS and b=RR so small that sender reports, which
// hold audio and video together, come too rarely: both are in bit/s (RFC 3556
// section 2).
func (c *Config) bandwidthWarnings(n yamlfile.Node) []string {
	var warnings []string
	for _, p := range c.SDPParams {
		_, value, found := strings.Cut(p, "b=RS:")
		if !found {
			continue
		}
		if rate, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && rate < 400 {
			warnings = append(warnings, n.Errorf("%s allows a phone %d bit/s for sender reports (RFC 3556), "+
				"one in %d s or fewer: audio and video may come apart; sent as configured", p, rate, 800/max(rate, 1)).Error())
		}
	}
	return warnings
}

func optionalBool(p **bool) yamlfile.Setter {
	return func(n yamlfile.Node) error {
		var v bool
		if err := yamlfile.Bool(&v)(n); err != nil {
			return err
		}
		*p = &v
		return nil
	}
}

// durationOrOff reads a time of which 0, and what is negative, means off: in a
// Config that is a negative one, as its zero is the default.
func durationOrOff(p *time.Duration, most time.Duration) yamlfile.Setter {
	return func(n yamlfile.Node) error {
		err := yamlfile.Duration(p, -time.Second, most)(n)
		if err == nil && *p == 0 {
			*p = -time.Second
		}
		return err
	}
}

// callerUsers reads users with their passwords. One without a password would
// let in everybody who knows the name.
func callerUsers(p *map[string]Secret) yamlfile.Setter {
	return func(n yamlfile.Node) error {
		if err := yamlfile.StringMap(p)(n); err != nil {
			return err
		}
		entries, err := n.Entries()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if (*p)[e.Key] == "" {
				return e.Value.Errorf("an empty password")
			}
		}
		if len(entries) == 0 {
			return n.Errorf("no users")
		}
		return nil
	}
}

func parseNotEmpty(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty")
	}
	return s, nil
}

func parseIP(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err != nil {
		return "", fmt.Errorf("%q is not an IP address", s)
	}
	return s, nil
}

// parseHost takes an IP address or a DNS name. Underscores are no part of a
// host name (RFC 1123 section 2.1) but found in the field.
func parseHost(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	// A host name does not end in a number (RFC 1123 section 2.1): 192.0.2.300
	// is an address that is wrong.
	if s == "" || len(s) > 253 || strings.Trim(s, "0123456789.") == "" {
		return "", fmt.Errorf("%q is neither an IP address nor a host name", s)
	}
	for _, r := range s {
		if r != '.' && r != '-' && r != '_' && !('0' <= r && r <= '9') && !('a' <= r && r <= 'z') && !('A' <= r && r <= 'Z') {
			return "", fmt.Errorf("%q is neither an IP address nor a host name", s)
		}
	}
	return s, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a network such as 192.0.2.0/24", s)
	}
	return p.Masked(), nil
}

func parseRTMPURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("not a URL: %w", err)
	}
	switch {
	case !slices.Contains([]string{"rtmp", "rtmps"}, u.Scheme):
		return "", fmt.Errorf("%q is not an rtmp:// or rtmps:// URL", u.Redacted())
	case u.Hostname() == "":
		return "", fmt.Errorf("%q names no host", u.Redacted())
	case strings.Trim(u.Path, "/") == "":
		return "", fmt.Errorf("%q names no application (rtmp://host/application)", u.Redacted())
	}
	return s, nil
}

// parseSDPParam takes one line of SDP, with "audio:" or "video:" before it
// when it belongs to those media.
func parseSDPParam(s string) (string, error) {
	line := strings.TrimPrefix(strings.TrimPrefix(s, "audio:"), "video:")
	if len(line) < 3 || line[1] != '=' || strings.ContainsAny(line, "\r\n") || line[0] < 'a' || line[0] > 'z' {
		return "", fmt.Errorf("%q is not a line of SDP such as b=AS:2000", s)
	}
	return s, nil
}

func parsePortRange(s string) (PortRange, error) {
	a, b, found := strings.Cut(s, "-")
	first, err1 := strconv.Atoi(strings.TrimSpace(a))
	last, err2 := strconv.Atoi(strings.TrimSpace(b))
	if !found || err1 != nil || err2 != nil || first < 1024 || last > 65535 || last-first < 3 {
		return PortRange{}, fmt.Errorf("%q is not a range of ports such as 20000-29999 (from 1024 on, at least four)", s)
	}
	return PortRange{First: first, Last: last}, nil
}
