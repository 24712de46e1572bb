package sdp_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// A phone that knows packetization mode 0 only calls a trunk whose sdp block
// wishes for Opus and H.264. The answer has the payload numbers of the offer
// and the direction of the block.
func Example() {
	template, err := sdp.ParseTemplate([]byte(`
		m=audio 7270 RTP/AVP 96
		a=rtpmap:96 opus/48000/2
		m=video 9202 RTP/AVP 96
		a=rtpmap:96 H264/90000
		a=fmtp:96 profile-level-id=42801F
		a=recvonly`))
	if err != nil {
		fmt.Println(err)
		return
	}
	offer, err := sdp.Parse([]byte("v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n" +
		"m=audio 4000 RTP/AVP 0 107\na=rtpmap:107 opus/48000/2\n" +
		"m=video 4002 RTP/AVP 96 97\na=rtpmap:96 VP8/90000\na=rtpmap:97 H264/90000\na=fmtp:97 profile-level-id=42E01F\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	agreed, err := sdp.Match(&sdp.Capabilities{Template: template}, nil, offer)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Here the sockets are opened.
	answer := agreed.MarshalAnswer(sdp.Local{
		SessionID: 1, Version: 1, Addr: netip.MustParseAddr("198.51.100.1"),
		Lines: []sdp.LocalLine{{RTPPort: 30000}, {RTPPort: 30002}},
	})
	fmt.Println("video goes to", agreed.Line(sdp.Video).RTP)
	fmt.Print(strings.ReplaceAll(string(answer), "\r\n", "\n"))
	// Output:
	// video goes to 192.0.2.7:4002
	// v=0
	// o=- 1 1 IN IP4 198.51.100.1
	// s=-
	// c=IN IP4 198.51.100.1
	// t=0 0
	// m=audio 30000 RTP/AVP 107
	// a=rtpmap:107 opus/48000/2
	// a=fmtp:107 stereo=0;useinbandfec=1
	// a=sendrecv
	// m=video 30002 RTP/AVP 97
	// a=rtpmap:97 H264/90000
	// a=fmtp:97 profile-level-id=42E01F
	// a=recvonly
}
