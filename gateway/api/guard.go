package api

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// guard keeps web pages out. The interface asks for no password, and a page in
// a browser on this host can send requests to loopback: without asking first
// if they look like those of a form, and even read the answers when its own
// name is made to resolve to this host.
func guard(r *http.Request) *Error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 && (err != nil || kind != "application/json") {
		// A page that sends this type must ask first, and gets no for an answer.
		return &Error{Status: http.StatusUnsupportedMediaType, Message: "Content-Type must be application/json"}
	}
	if origin := r.Header.Get("Origin"); origin != "" && !sameHost(origin, r.Host) {
		return &Error{Status: http.StatusForbidden, Message: "a page of " + origin + " may not use this interface"}
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && onLoopback(local) && !literal(r.Host) {
		return &Error{Status: http.StatusForbidden, Message: "ask for it by IP address or localhost, not as " + r.Host}
	}
	return nil
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}

func onLoopback(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// literal tells whether a Host header holds no name that a stranger's DNS
// could have pointed here.
func literal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

var credentials = regexp.MustCompile(`(?im)^((?:Proxy-)?Authorization)[ \t]*:.*(?:\r?\n[ \t].*)*$`)

// withoutCredentials blanks what in a SIP message would let its reader call.
func withoutCredentials(message string) string {
	return credentials.ReplaceAllString(message, "$1: (hidden)\r")
}
