package trunk

import (
	"log/slog"
	"net/netip"
	"time"
)

// Secret is a string that never prints.
type Secret string

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String returns a placeholder, so that no format verb shows the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString is String for the verb %#v.
func (s Secret) GoString() string { return s.String() }

// Config is one trunk of a sip_trunk.yml. The first group of keys is that of
// the product whose file this is; the zero value of every other field means
// its default. [LoadConfig] fills and checks it.
type Config struct {
	Name string // key in the trunks map

	LocalPort   int      // SIP port to listen on, UDP and TCP (and TLS, see TLS)
	ProxyIP     string   // address or name of the PBX
	RemotePort  int      // port of the PBX for registration and our own requests; default 5060 (TLS: 5061), for a name what its SRV records say (RFC 3263)
	URL         string   // rtmp:// or rtmps:// application; the stream name is appended
	VisibleName string   // display name in From and Contact of our requests
	SDP         string   // template of the answer; empty: all codecs, sendrecv
	SDPParams   []string // lines added to the SDP: session level, or "audio:"/"video:" before the line

	// SIP
	Login           string            // user of the registration and of our From and Contact; default: VisibleName
	AuthUser        string            // user name for digest; default Login
	Password        Secret            // password for digest
	Domain          string            // host part of From, To and the registrar's URI; default ProxyIP
	Register        *bool             // register at ProxyIP:RemotePort; default true (also without a Login, as the product does)
	Expires         time.Duration     // of a registration; default 1h, at least 1m
	Transport       string            // "udp" (default), "tcp" or "tls", for our own requests
	Reliable        string            // reliable provisional responses (RFC 3262): "off"; "supported" (default): where the far side requires them, or has to get a session description; "required": no calls without
	Transfers       string            // REFER and Replaces: "refuse" (603, default), "accept" (see Call.OnRefer and Call.Replaced), "follow" (the call goes on with the new party, its Negotiator and Handler being the same)
	EarlyMedia      time.Duration     // Answer sends its session description in a 183 first, and the 200 so much later; default 0: none
	KeepAlive       time.Duration     // an empty datagram to the PBX so often, for a NAT on the way; default 25s if it registers over UDP, else none; negative: none
	LargeRequests   string            // requests of ours above 1300 bytes: "udp" (default, in fragments) or "tcp", tried before UDP (RFC 3261 section 18.1.1)
	ListenAddress   string            // local IP address to listen on; default all (0.0.0.0)
	PublicAddress   string            // IP address or name in Via, Contact and SDP in place of the local one; default: the local address of the route to the peer
	MediaAddress    string            // the same for SDP only; default PublicAddress
	LocalNets       []netip.Prefix    // peers in these networks see the local address, not the public one
	Allow           []netip.Prefix    // who may call beside ProxyIP; /0 allows everyone
	Strangers       string            // "refuse" (one stateless 403, default) or "silent"
	CallerUsers     map[string]Secret // user -> password; when set, callers must pass a digest challenge
	MaxCalls        int               // at once on this trunk; more are refused with 486; 0: no limit
	NumberFrom      string            // "auto" (default), "request-uri", "to", "p-called-party-id", "diversion"
	TLSCert, TLSKey string            // PEM files; with both, TLSPort is listened on
	TLSPort         int               // default 5061 when a certificate is given
	TLSCA           string            // PEM file with the CAs for our own TLS connections; default: the system's

	// Media
	StrictSDP         bool          // refuse with 488 a caller with none of the template's codecs
	MediaPorts        PortRange     // RTP and RTCP; default 20000-29999
	Latching          string        // symmetric RTP: "auto" (default), "on", "off"
	MediaTimeout      time.Duration // no RTP for so long ends the call; default 60s, negative: never
	ForceRTCPFeedback bool          // send PLI, FIR and NACK though not negotiated
	KeyFrameInterval  time.Duration // ask for a key frame when the last one is so old; default 2s, negative: only when one is needed
	JitterMin         time.Duration // least delay of the jitter buffer; default 40ms
	JitterMax         time.Duration // greatest delay of it; default 400ms
	DamagedVideo      string        // after packet loss: "hold" the picture until a clean one comes (default), "pass" on what came
	MaxFreeze         time.Duration // with "hold": what came is passed on after a picture stood so long; default: never
	MaxVideoBitRate   int           // told to callers that understand TMMBR or REMB, in bit/s; default: no limit

	// Output
	StreamName   string // template; default "rtmp_{number}"
	SameNumber   string // second call to a number: "suffix" (default), "refuse" (486), "replace"
	Audio        string // "aac" (default), "copy", "opus": audio of the RTMP stream
	AudioBitRate int    // of the encoder in bit/s; default 64000
	Record       bool   // record every call

	// Warnings tell what LoadConfig has read but what is probably not meant. A
	// Server logs them when it starts.
	Warnings []string

	origin *origin // nil: not read from a file
}

// PortRange is an inclusive range of UDP ports.
type PortRange struct{ First, Last int }
