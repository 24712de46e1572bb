package sdp

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// parseOrigin reads what there is of an o= line: nothing depends on it but
// logs.
func parseOrigin(value string) Origin {
	f := strings.Fields(value)
	at := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	return Origin{Username: at(0), SessionID: at(1), Version: at(2), Address: at(5)}
}

// parseConnection reads a c= line, also the address part of a=rtcp. Networks
// other than IP say nothing that we could use. why tells what is wrong.
func parseConnection(value string) (c Connection, why string) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return c, "address is missing"
	}
	if !strings.EqualFold(f[0], "IN") || !strings.EqualFold(f[1], "IP4") && !strings.EqualFold(f[1], "IP6") {
		return c, ""
	}
	host, _, _ := strings.Cut(f[2], "/") // time to live of multicast
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		c.Addr = addr.Unmap().WithZone("")
		return c, ""
	}
	if !isHost(host) {
		return c, "neither an address nor a host name"
	}
	c.Host = host
	return c, ""
}

// isHost tells whether s can be looked up: letters, digits, dots, hyphens and
// the underscores that some networks use.
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// parseBandwidth reads a b= line; ok is false for one that says nothing.
func parseBandwidth(value string) (b BandwidthLine, ok bool) {
	typ, number, found := strings.Cut(value, ":")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	typ = strings.ToUpper(strings.TrimSpace(typ))
	if !found || err != nil || n < 0 || !isToken(typ) {
		return b, false
	}
	return BandwidthLine{Type: typ, Value: min(n, math.MaxInt32)}, true
}

// parseMedia reads an m-line (RFC 8866 section 5.14).
func parseMedia(value string) (m *Media, why string) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return nil, "media, port and transport are needed"
	}
	for _, x := range f {
		if !isPrintable(x) {
			return nil, "not ASCII"
		}
	}
	text, _, _ := strings.Cut(f[1], "/") // number of ports
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, "no port"
	}
	return &Media{Type: strings.ToLower(f[0]), Port: int(port), Proto: f[2], Formats: f[3:], typ: f[0]}, ""
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// isToken tells whether s is a token of RFC 8866 section 9.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("!#$%&'*+-.^_`{|}~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// parsePort reads a UDP port above 0.
func parsePort(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n > 0
}
