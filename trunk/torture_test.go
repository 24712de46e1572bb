package trunk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// verdict is what RFC 4475 asks of a user agent for one of its messages.
type verdict struct {
	code   int    // of the final response; 0: none
	stream int    // over TCP, if it differs
	second int    // over TCP, of the second request in the message
	header string // "Name: text", a part of the response
	why    string // where there is a choice, or it is not plain
}

// Why a request is answered as it is, where RFC 4475 only asks that it be
// understood, or leaves a choice.
const (
	noRegistrar = "no registrar: RFC 3261 section 8.2.1 has the method looked at first"
	noLength    = "without Content-Length, which RFC 3261 section 18.3 demands on a stream"
	strict      = "the RFC allows to be liberal"
)

// tortureVerdicts are in the order of the RFC.
var tortureVerdicts = map[string]verdict{
	"wsinv":      {code: 481, why: "within a dialog that we do not know"},
	"intmeth":    {code: 405, header: "Allow: INVITE"},
	"esc01":      {code: 200},
	"escnull":    {code: 405, why: noRegistrar},
	"esc02":      {code: 405, why: "RE%47IST%45R is a method of its own"},
	"lwsdisp":    {code: 200},
	"longreq":    {code: 200},
	"dblreq":     {code: 405, second: 400, why: noRegistrar + "; a datagram holds one message; the INVITE has no Contact"},
	"semiuri":    {code: 200},
	"transports": {code: 200},
	"mpart01":    {code: 405, why: "MESSAGE is not for us"},
	"unreason":   {why: "a response to nothing"},
	"noreason":   {why: "a response to nothing"},

	"badinv01":   {code: 400},
	"clerr":      {code: 400, why: "over TCP when the rest has not come in time"},
	"ncl":        {code: 400},
	"scalar02":   {code: 400},
	"scalarlg":   {why: "a response is dropped"},
	"quotbal":    {code: 400},
	"ltgtruri":   {code: 400},
	"lwsruri":    {code: 400},
	"lwsstart":   {code: 400, why: strict},
	"trws":       {code: 400, why: strict},
	"escruri":    {code: 200, why: "headers in a Request-URI are passed over"},
	"baddate":    {code: 200, why: "Date is not looked at"},
	"regbadct":   {code: 400},
	"badaspec":   {code: 400},
	"baddn":      {code: 400},
	"badvers":    {code: 505},
	"mismatch01": {code: 400},
	"mismatch02": {code: 400},
	"bigcode":    {why: "a response is dropped"},

	"badbranch": {code: 200},

	"insuf":    {code: 400},
	"unkscm":   {code: 416},
	"novelsc":  {code: 416},
	"unksm2":   {code: 405, why: noRegistrar},
	"bext01":   {code: 420, header: "Unsupported: nothingSupportsThis"},
	"invut":    {code: 415, header: "Accept: application/sdp"},
	"regaut01": {code: 405, why: noRegistrar},
	"multi01":  {code: 400},
	"mcl01":    {code: 400},
	"bcast":    {why: "a response to nothing"},
	"zeromf":   {code: 200, why: "we do not forward"},
	"cparam01": {code: 405, why: noRegistrar},
	"cparam02": {code: 405, why: noRegistrar},
	"regescrt": {code: 405, why: noRegistrar},
	"sdp01":    {code: 406},
	"inv2543":  {code: 200, stream: 400, why: noLength},

	"test": {why: "neither request nor response"},
}

func tortureMessage(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "internal", "sipnet", "testdata", "rfc4475", name+".dat"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every message of RFC 4475 gets the response that the RFC asks for through
// the whole stack, and a call works after it, over TCP on the same connection.
func TestTorture(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "internal", "sipnet", "testdata", "rfc4475", "*.dat"))
	if err != nil || len(files) != len(tortureVerdicts) {
		t.Fatalf("%d files, %d verdicts, %v", len(files), len(tortureVerdicts), err)
	}
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			s := &Server{Handler: answering(&syncNegotiator{}, nil)}
			s.clock.message = 100 * time.Millisecond // clerr waits for it
			serve(t, s)
			for name, want := range tortureVerdicts {
				t.Run(name, func(t *testing.T) { torture(t, s, transport, name, want) })
			}
		})
	}
}

func torture(t *testing.T, s *Server, transport, name string, want verdict) {
	p := trunktest.NewPeer(t, transport)
	callWorks(t, p, s)
	text, code := tortureMessage(t, name), want.code
	switch {
	case transport == "udp" && name == "badbranch":
		text = strings.Replace(text, ";branch", ";rport;branch", 1)
	case transport == "udp" && code != 0: // a Via on top brings the answer to us
		line, rest, _ := strings.Cut(text, "\r\n")
		text = line + "\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK" + name + "\r\n" + rest
	case transport == "tcp" && !strings.Contains(text, "\r\n\r\n"):
		text += "\r\n" // as the RFC has it, without its end
	}
	if transport == "tcp" && want.stream != 0 {
		code = want.stream
	}
	p.Send(addrOfServer(s), text)
	expected := []int{code}
	if transport == "tcp" && want.second != 0 {
		expected = append(expected, want.second)
	}
	for len(expected) > 0 && code != 0 { // of two transactions either may be first
		m := p.Next("a response", isFinal)
		i := slices.Index(expected, m.Code)
		if i < 0 {
			t.Fatalf("%s (Warning %q), want %d", m.Line, m.Header("Warning"), expected)
		}
		expected = slices.Delete(expected, i, i+1)
		field, value, _ := strings.Cut(want.header, ": ")
		if got := strings.Join(m.Headers(field), ", "); !strings.Contains(got, value) {
			t.Errorf("%s: %q, want %q", field, got, value)
		}
	}
	callWorks(t, p, s)
	if code == 0 {
		if m := p.Try(0, isFinal); m != nil {
			t.Errorf("answered %s", m.Line)
		}
	}
}

func isFinal(m *trunktest.Message) bool { return m.Code >= 200 }

func callWorks(t *testing.T, p *trunktest.Peer, s *Server) {
	t.Helper()
	leg := p.Establish(addrOfServer(s), "001201234")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
}
