package rtmp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// target is where a client goes, taken from a URL.
type target struct {
	tls      bool
	host     string // for the certificate
	addr     string // host:port
	app      string // first path element, or what the App option says
	stream   string // the rest with its raw query
	tcURL    string // without credentials and query
	user     string
	password string
	shown    string // for logs
}

// parseTarget reads rtmp[s]://[user:password@]host[:port]/app/stream[?query].
// The path is taken as it stands: net/url would refuse or rewrite names that
// servers take. name is appended to the path, before the query.
func parseTarget(raw, name, app string) (*target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	t := &target{}
	switch {
	case ok && strings.EqualFold(scheme, "rtmp"):
		scheme = "rtmp"
	case ok && strings.EqualFold(scheme, "rtmps"):
		scheme, t.tls = "rtmps", true
	default:
		return nil, errors.New("rtmp: the URL must begin with rtmp:// or rtmps://")
	}
	if strings.ContainsFunc(raw, isControl) || strings.ContainsFunc(name, isControl) {
		return nil, errors.New("rtmp: control character in the URL")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if i := strings.IndexAny(authority, "?#"); i >= 0 {
		return nil, errors.New("rtmp: the URL names no application: rtmp://host/application/stream")
	}
	if err := t.setAuthority(scheme, authority); err != nil {
		return nil, err
	}
	path, query, hasQuery := strings.Cut(path, "?")
	path = strings.Trim(path, "/")
	if err := t.setPath(path, app); err != nil {
		return nil, err
	}
	key := t.stream
	if name != "" {
		t.stream = strings.Trim(t.stream+"/"+name, "/")
	}
	if t.stream == "" {
		return nil, errors.New("rtmp: the URL names no stream: rtmp://host/application/stream")
	}
	if hasQuery {
		sep := "?"
		if strings.Contains(t.stream, "?") {
			sep = "&"
		}
		t.stream += sep + query
	}
	t.tcURL = scheme + "://" + t.addrForURL(authority) + "/" + t.app
	t.shown = t.tcURL
	if key != "" {
		t.shown += "/***"
	}
	if plain, _, _ := strings.Cut(name, "?"); plain != "" {
		t.shown += "/" + plain
	}
	return t, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (t *target) setAuthority(scheme, authority string) error {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		var err1, err2 error
		t.user, err1 = url.PathUnescape(user)
		t.password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errors.New("rtmp: bad percent escape in the user name or password")
		}
		authority = authority[i+1:]
	}
	port := "1935"
	if t.tls {
		port = "443"
	}
	u, err := url.Parse(scheme + "://" + authority)
	if err != nil || u.Hostname() == "" {
		return errors.New("rtmp: the URL names no valid host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t.host = u.Hostname()
	t.addr = net.JoinHostPort(t.host, port)
	return nil
}

func (t *target) addrForURL(authority string) string {
	return authority[strings.LastIndexByte(authority, '@')+1:]
}

func (t *target) setPath(path, app string) error {
	app = strings.Trim(app, "/")
	if app == "" {
		t.app, t.stream, _ = strings.Cut(path, "/")
		if t.app == "" {
			return errors.New("rtmp: the URL names no application: rtmp://host/application/stream")
		}
		return nil
	}
	rest, ok := strings.CutPrefix(path, app)
	if !ok || rest != "" && rest[0] != '/' {
		return fmt.Errorf("rtmp: the URL's path does not begin with the application %q", app)
	}
	t.app, t.stream = app, strings.Trim(rest, "/")
	return nil
}

// scrub takes the secrets of the URL out of a text of the server.
func (t *target) scrub(s string) string {
	if t.password != "" {
		s = strings.ReplaceAll(s, t.password, "***")
	}
	name, query, _ := strings.Cut(t.stream, "?")
	if query != "" {
		s = strings.ReplaceAll(s, query, "***")
	}
	if !strings.HasSuffix(t.shown, "/"+name) && len(name) >= 4 {
		s = strings.ReplaceAll(s, name, "***")
	}
	const most = 300
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
