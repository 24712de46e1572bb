package sipnet

import (
	"strings"

	"github.com/emiago/sipgo/sip"
)

// parseURI reads a URI. Of other schemes than sip and sips only the scheme is
// looked at. sipgo's parser is gone round for sip and sips: it takes the
// headers of a URI for a parameter when the last one has no value.
func parseURI(s string, uri *sip.Uri) error {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f {
			return bad("malformed URI")
		}
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || rest == "" || !isScheme(scheme) {
		return bad("malformed URI")
	}
	scheme = strings.ToLower(scheme)
	if scheme == "sip" || scheme == "sips" {
		uri.Scheme = scheme
		return parseSIPURI(rest, uri)
	}
	// sipgo alone can set what follows, and takes letters only in a scheme, RFC
	// 3986 digits and "+-." too.
	if err := sip.ParseUri("tel:"+rest, uri); err != nil {
		return bad("malformed URI")
	}
	uri.Scheme = scheme
	return nil
}

// parseSIPURI reads what follows the scheme (RFC 3261 section 19.1.1). User
// and password stay escaped; names of parameters become lower case, as they
// are compared so.
func parseSIPURI(s string, uri *sip.Uri) error {
	s, uri.HierarhicalSlashes = strings.CutPrefix(s, "//") // wrong, and seen
	if user, rest, ok := strings.Cut(s, "@"); ok {
		uri.User, uri.Password, _ = strings.Cut(user, ":")
		if s = rest; uri.User == "" {
			return bad("malformed URI")
		}
	}
	s, headers, _ := strings.Cut(s, "?")
	s, params, _ := strings.Cut(s, ";")
	var ok bool
	if uri.Host, uri.Port, ok = parseSentBy(s); !ok {
		return bad("malformed URI")
	}
	if strings.HasPrefix(s, "[") {
		uri.Host = "[" + uri.Host + "]" // as sipgo wants it here, and not in Via
	}
	uri.UriParams = splitParams(params, ";", true)
	uri.Headers = splitParams(headers, "&", false)
	return nil
}

// splitParams reads name=value pairs; the first of a name counts.
func splitParams(s, sep string, lower bool) sip.HeaderParams {
	var params sip.HeaderParams
	for p := range strings.SplitSeq(s, sep) {
		name, value, _ := strings.Cut(p, "=")
		if lower {
			name = strings.ToLower(name)
		}
		if name != "" && !params.Has(name) {
			params = append(params, sip.HeaderKV{K: name, V: value})
		}
	}
	return params
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || !isDigits(s[i:i+1]) && strings.IndexByte("+-.", s[i]) < 0) {
			return false
		}
	}
	return s != ""
}
