//go:build linux

package peertest

import (
	"bufio"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SIPpOptions describe calls that SIPp makes; all but Target have a default.
type SIPpOptions struct {
	Target    string // host:port to which the requests go
	Transport string // "udp" (default) or "tcp"
	URI       string // called; default sip:100@Target, may be without a port
	From      string // user part of the caller, default "sipp"

	Calls int           // default 1
	Rate  float64       // calls a second, default 10
	Hold  time.Duration // from ACK to BYE, or from 180 to CANCEL; default 500 ms

	// SDP is the offer, or the answer if Offerless. SIPp's keywords such as
	// [media_ip] and [media_port] are filled in. Default: PCMA with DTMF, and
	// H.264 if there is a VideoPcap.
	SDP       string
	Offerless bool     // INVITE without a body, answer in the ACK
	Headers   []string // more of them for the INVITE

	Cancel   bool // after 180 and Hold
	Reinvite bool // hold and resume, each after a third of Hold
	WaitBye  bool // the other side ends the call
	Expect   int  // final response to the INVITE, default 200

	// Password answers a challenge with the status Challenge (default 407)
	// for the user From.
	Password  string
	Challenge int

	Audio     string // raw PCMA, sent in a loop: see [PCMA]
	VideoPcap string // H.264 over RTP, sent once: see [VideoPcap]
	RTPEcho   bool   // sends back what comes to [media_port] and two above
}

func (o SIPpOptions) withDefaults() SIPpOptions {
	if o.Transport == "" {
		o.Transport = "udp"
	}
	if o.URI == "" {
		o.URI = "sip:100@" + o.Target
	}
	if o.From == "" {
		o.From = "sipp"
	}
	if o.Calls == 0 {
		o.Calls = 1
	}
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.Hold == 0 {
		o.Hold = 500 * time.Millisecond
	}
	if o.SDP == "" {
		o.SDP = sippSDP(o.Audio != "", o.VideoPcap != "")
	}
	if o.Expect == 0 {
		o.Expect = 200
	}
	if o.Challenge == 0 {
		o.Challenge = 407
	}
	return o
}

// SIPp is a running SIPp.
type SIPp struct {
	Process *Process
	Addr    string // host:port of its SIP

	t      testing.TB
	folder string
}

// StartSIPp starts the calls.
func StartSIPp(t testing.TB, o SIPpOptions) *SIPp {
	t.Helper()
	o = o.withDefaults()
	return startSIPp(t, sippScenarioFor(o), o)
}

// startSIPp runs a scenario with the options that do not shape it.
func startSIPp(t testing.TB, scenario string, o SIPpOptions) *SIPp {
	t.Helper()
	for range 3 {
		s := startSIPpOnce(t, scenario, o)
		if !s.portTaken() {
			return s
		}
	}
	t.Fatal("SIPp finds its port taken again and again")
	return nil
}

// portTaken waits until SIPp has had the time to open its port, and tells
// whether somebody else was faster.
func (s *SIPp) portTaken() bool {
	select {
	case <-s.Process.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return strings.Contains(s.Process.Output(), "Unable to bind main socket")
}

func startSIPpOnce(t testing.TB, scenario string, o SIPpOptions) *SIPp {
	t.Helper()
	s := &SIPp{t: t, folder: t.TempDir()}
	port, media := Port(t), Ports(t, 4)
	s.Addr = Loopback(port)
	transport := "u1"
	if o.Transport == "tcp" {
		transport = "t1"
	}
	args := []string{
		"-sf", write(t, s.folder, "scenario.xml", scenario), "-t", transport, "-nostdin",
		"-i", "127.0.0.1", "-p", strconv.Itoa(port), "-mi", "127.0.0.1", "-mp", strconv.Itoa(media),
		"-m", strconv.Itoa(o.Calls), "-r", strconv.FormatFloat(o.Rate, 'f', -1, 64), "-max_socket", "2000",
		"-trace_stat", "-stf", filepath.Join(s.folder, "stat.csv"), "-fd", "1",
		"-trace_shortmsg", "-shortmessage_file", filepath.Join(s.folder, "messages.csv"),
		"-trace_err", "-error_file", filepath.Join(s.folder, "errors.log"),
	}
	if o.RTPEcho {
		args = append(args, "-rtp_echo")
	}
	if o.Password != "" {
		args = append(args, "-au", o.From, "-ap", o.Password)
	}
	s.Process = Start(t, "sipp", append(args, o.Target)...)
	return s
}

// SIPpResult is what SIPp counted.
type SIPpResult struct {
	Created, Successful, Failed int
	Retransmissions             int
	Responses                   map[int]int // that came, by status code
	Requests                    map[string]int
	Errors                      string // what SIPp says of the calls that failed, at most the last 2 KB
}

// Wait returns when all calls have ended, and fails the test if they have not
// after limit.
func (s *SIPp) Wait(limit time.Duration) SIPpResult {
	s.t.Helper()
	select {
	case <-s.Process.Done():
	case <-time.After(limit):
		s.t.Errorf("SIPp is still running after %v", limit)
		s.Process.Stop()
	}
	r, err := readSIPp(s.folder)
	if err != nil {
		s.t.Fatalf("SIPp: %v\n%s", err, tail(s.Process.Output(), 3000))
	}
	return r
}

// MustPass waits and fails the test unless every call went as described.
func (s *SIPp) MustPass(limit time.Duration) SIPpResult {
	s.t.Helper()
	r := s.Wait(limit)
	if err := s.Process.Wait(time.Second); err != nil || r.Failed > 0 || r.Successful == 0 {
		s.t.Errorf("SIPp: %v: %d of %d calls failed, responses %v\n%s", err, r.Failed, r.Created, r.Responses, r.Errors)
	}
	return r
}

// readSIPp reads the files that SIPp has written.
func readSIPp(folder string) (SIPpResult, error) {
	r := SIPpResult{Responses: map[int]int{}, Requests: map[string]int{}}
	f, err := os.Open(filepath.Join(folder, "stat.csv"))
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	table := csv.NewReader(f)
	table.Comma, table.FieldsPerRecord, table.LazyQuotes = ';', -1, true
	rows, err := table.ReadAll()
	if err != nil {
		return r, err
	}
	if len(rows) < 2 {
		return r, errors.New("no statistics were written")
	}
	for i, name := range rows[0] {
		last := rows[len(rows)-1]
		if i >= len(last) {
			break
		}
		n, err := strconv.Atoi(last[i])
		if err != nil {
			continue
		}
		switch name {
		case "TotalCallCreated":
			r.Created = n
		case "SuccessfulCall(C)":
			r.Successful = n
		case "FailedCall(C)":
			r.Failed = n
		case "Retransmissions(C)":
			r.Retransmissions = n
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, "errors.log")); err == nil {
		r.Errors = tail(string(b), 2000)
	}
	return r, r.readMessages(filepath.Join(folder, "messages.csv"))
}

// readMessages counts what came, by the first lines in SIPp's short log.
func (r *SIPpResult) readMessages(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		for i, field := range fields {
			if field == "R" && i+1 < len(fields) {
				r.count(fields[len(fields)-1])
			}
		}
	}
	return lines.Err()
}

func (r *SIPpResult) count(firstLine string) {
	if rest, ok := strings.CutPrefix(firstLine, "SIP/2.0 "); ok {
		code, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(code); err == nil {
			r.Responses[n]++
		}
		return
	}
	method, _, _ := strings.Cut(firstLine, " ")
	r.Requests[method]++
}
