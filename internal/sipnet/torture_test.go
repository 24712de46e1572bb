package sipnet

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// verdict is what becomes of a message: the status of our own answer, 0 for
// none, or passed to the user.
const (
	passed  = -1
	dropped = 0
)

// torture is what RFC 4475 asks for each of its messages at this level:
// schemes, extensions, media types and authentication are package trunk's.
// Where the RFC leaves a choice the strict one is taken (trws, lwsstart,
// novelsc passes as unknown scheme), but for headers in a Request-URI
// (escruri) and a malformed Date (baddate), which do no harm and pass.
var torture = map[string]int{
	"wsinv": passed, "intmeth": passed, "esc01": passed, "escnull": passed, "esc02": passed, "lwsdisp": passed,
	"longreq": passed, "dblreq": passed, "semiuri": passed, "transports": passed, "mpart01": passed,
	"unreason": dropped, "noreason": dropped, // responses to no request of ours
	"sdp01": passed, "inv2543": passed, "cparam01": passed, "cparam02": passed, "regescrt": passed, "zeromf": passed,
	"badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "quotbal": 400, "ltgtruri": 400, "lwsruri": 400,
	"lwsstart": 400, "trws": 400, "escruri": passed, "baddate": passed, "regbadct": 400, "badaspec": 400,
	"baddn": 400, "mismatch01": 400, "mismatch02": 400, "insuf": 400, "multi01": 400, "mcl01": 400, "badvers": 505,
	"unkscm": passed, "novelsc": passed, "unksm2": passed, "bext01": passed, "invut": passed, "regaut01": passed,
	"scalarlg": dropped, "bigcode": dropped, "bcast": dropped,
	"badbranch": passed, "test": dropped,
}

func tortureFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "rfc4475", name+".dat"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTortureFilesAreAllJudged(t *testing.T) {
	files, _ := filepath.Glob("testdata/rfc4475/*.dat")
	if len(files) != len(torture) {
		t.Errorf("%d files, %d verdicts", len(files), len(torture))
	}
}

// probe is a request that is fine, to see that the endpoint goes on.
func probe(transport, branch string) string {
	return "OPTIONS sip:bob@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/" + strings.ToUpper(transport) + " 127.0.0.1:5060;rport;branch=z9hG4bK" + branch + "\r\n" +
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: " + branch + "\r\n" +
		"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
}

// tortureServer answers what reaches its user with 299.
func tortureServer(t *testing.T) *Endpoint {
	return start(t, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
		if tx != nil {
			tx.Respond(tx.NewResponse(299, "Passed", nil))
		}
	}})
}

func statusOf(t *testing.T, response string) int {
	t.Helper()
	fields := strings.Fields(response)
	if len(fields) < 2 || fields[0] != "SIP/2.0" {
		t.Fatalf("no response: %q", response)
	}
	code, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// rportVia puts a Via on top that brings the answer back to the test.
func rportVia(data []byte) string {
	line, rest, _ := strings.Cut(string(data), "\r\n")
	return line + "\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKtop\r\n" + rest
}

func TestTortureOverUDP(t *testing.T) {
	for name, want := range torture {
		t.Run(name, func(t *testing.T) {
			server := tortureServer(t)
			peer := rawUDP(t, server)
			data := tortureFile(t, name)
			if want != dropped && name != "badbranch" {
				data = []byte(rportVia(data))
			} else if name == "badbranch" {
				data = []byte(strings.Replace(string(data), ";branch", ";rport;branch", 1))
			}
			peer.Write(data)
			if want != dropped {
				expect(t, want, readUDP(t, peer))
			}
			peer.Write([]byte(probe("udp", "after")))
			if after := readUDP(t, peer); !strings.Contains(after, "z9hG4bKafter") || statusOf(t, after) != 299 {
				t.Errorf("then %s", after)
			}
		})
	}
}

// Over TCP one bad message leaves the connection to the ones behind it.
func TestTortureOverTCP(t *testing.T) {
	for name, want := range torture {
		if name == "clerr" {
			continue // what is sent next is taken for its body: see TestIncompleteMessage
		}
		t.Run(name, func(t *testing.T) {
			server := tortureServer(t)
			peer := rawTCP(t, server)
			data := string(tortureFile(t, name))
			want, end := want, headEnd([]byte(data), 0)
			if end < 0 {
				data += "\r\n" // as the RFC has it, without its end
			} else if n, err := contentLength(data[:end]); err == nil && n < 0 && want == passed {
				want = 400 // RFC 3261 section 18.3: mandatory on a stream
			}
			peer.send(t, data)
			if want != dropped {
				expect(t, want, peer.read(t))
			}
			if name == "dblreq" { // two requests by its Content-Length
				expect(t, want, peer.read(t))
			}
			peer.send(t, probe("tcp", "after"))
			if after := peer.read(t); !strings.Contains(after, "z9hG4bKafter") || statusOf(t, after) != 299 {
				t.Errorf("then %s", after)
			}
		})
	}
}

func expect(t *testing.T, want int, response string) {
	t.Helper()
	if want == passed {
		want = 299
	}
	if code := statusOf(t, response); code != want {
		t.Errorf("answered %d: %s", code, response)
	}
}

// A branch that is the cookie alone does not make transactions equal (RFC
// 4475 section 3.2.1): two different requests with it both get through.
func TestBadBranchIsNotUnique(t *testing.T) {
	got := make(chan string, 4)
	server := start(t, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
		got <- req.CallID().Value()
		tx.Respond(tx.NewResponse(200, "", nil))
	}})
	peer := rawUDP(t, server)
	for _, id := range []string{"first", "second", "second"} {
		request := strings.ReplaceAll(probe("udp", ""), "Call-ID: ", "Call-ID: "+id)
		if code := statusOf(t, askUDP(t, peer, request)); code != 200 {
			t.Errorf("%s: %d", id, code)
		}
	}
	server.Close()
	close(got)
	var ids []string
	for id := range got {
		ids = append(ids, id)
	}
	if strings.Join(ids, " ") != "first second" {
		t.Errorf("got %v", ids)
	}
}

// What is parsed keeps its meaning when written again.
func TestParseAndEncode(t *testing.T) {
	head := "INVITE sip:001201234@10.0.0.1;user=phone;LR SIP/2.0\r\n" +
		"v: SIP / 2.0 / UDP [2001:db8::9]:5061 ; branch=z9hG4bK1;RPORT, SIP/2.0/TCP host;branch=z9hG4bK2\r\n" +
		"f: \"A \\\"B\\\" C\" <sip:a@x>;tag=88;x=\"a;b\";y=\"a b\"\r\n" +
		"t: sip:b@x;tag=7\r\ni: id\r\nCSeq: 1 INVITE\r\n" +
		"m: <sip:c@x;transport=tcp>;expires=5, \"Q\" <sips:d@y>\r\n" +
		"Record-Route: <sip:p1;lr>;hp=1, <sip:p2;lr>\r\nk: timer,\r\n 100rel\r\nx: 1800\r\nl: 4\r\n\r\n"
	msg, err := parse([]byte(head), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	req := msg.(*sip.Request)
	want := "INVITE sip:001201234@10.0.0.1;user=phone;lr SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP [2001:db8::9]:5061;branch=z9hG4bK1;rport\r\n" +
		"Via: SIP/2.0/TCP host;branch=z9hG4bK2\r\n" +
		"From: \"A \\\"B\\\" C\" <sip:a@x>;tag=88;x=\"a;b\";y=\"a b\"\r\n" +
		"To: <sip:b@x>;tag=7\r\nCall-ID: id\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:c@x;transport=tcp>;expires=5\r\nContact: \"Q\" <sips:d@y>\r\n" +
		"Record-Route: <sip:p1;lr>;hp=1\r\nRecord-Route: <sip:p2;lr>\r\n" +
		"Supported: timer, 100rel\r\nSession-Expires: 1800\r\nContent-Length: 4\r\n\r\nbody"
	if got := req.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := cloneRequest(req).String(); got != want {
		t.Errorf("the clone is\n%s", got)
	}
	routes, err := RouteURIs(req, "Record-Route")
	if err != nil || len(routes) != 2 || routes[0].Host != "p1" || routes[1].Host != "p2" {
		t.Errorf("routes %v, %v", routes, err)
	}
	if via := req.Via(); via.Host != "2001:db8::9" || via.Port != 5061 {
		t.Errorf("top Via %v", via)
	}
}

// A clone shares nothing that a change in place could reach.
func TestCloneIsDeep(t *testing.T) {
	msg, err := parse([]byte(strings.Replace(probe("udp", "x"), "Content-Length: 0", "Max-Forwards: 70\r\nContent-Type: a/b\r\nContent-Length: 2", 1)), []byte("hi"))
	if err != nil {
		t.Fatal(err)
	}
	req := msg.(*sip.Request)
	before := req.String()
	c := cloneRequest(req)
	*c.MaxForwards() = 1
	*c.CallID() = "other"
	*c.ContentType() = "c/d"
	*c.ContentLength() = 9
	c.Body()[0] = 'X'
	c.Via().Params.Add("branch", "other")
	c.From().Params.Add("tag", "other")
	c.Recipient.User = "other"
	if req.String() != before {
		t.Errorf("the original is now\n%s", req)
	}
}

func TestEncodeRefusesLineBreaks(t *testing.T) {
	e := start(t, &Endpoint{})
	for name, spoil := range map[string]func(*sip.Request){
		"generic header": func(r *sip.Request) { r.AppendHeader(sip.NewHeader("Subject", "a\r\nX: b")) },
		"bare LF":        func(r *sip.Request) { r.From().DisplayName = "a\nb" },
		"bare CR":        func(r *sip.Request) { r.Recipient.User = "a\rb" },
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(sip.OPTIONS, "x")
			spoil(req)
			if _, err := e.Request(context.Background(), req, Target{Addr: e.Addr()}); err == nil {
				t.Error("sent")
			}
		})
	}
}
