// Package trunkcast takes the calls of a SIP trunk, publishes each as an RTMP
// stream and lets a Go program see and rewrite every SIP message.
//
//	              SIP                                         frames on one timeline
//	PBX <----> trunk.Server ---- trunk.Call ---------+    +--> rtmp.Publisher --RTMP(S)--> server
//	     listener.Chain: every message, both ways    |    |
//	           RTP, RTCP                             v    +--> any media.Sink
//	caller <---------------------------> rtpio.Session --> media.Stream
//
// A [Bridge] is the trunk.Handler that ties these together: it answers a call,
// names its stream (rtmp_ and the number that was dialled) and sends it to the
// trunk's RTMP URL. A [Session] is the handle on a call that runs.
//
//	trunks, err := trunk.LoadConfig("sip_trunk.yml")
//	...
//	bridge := &trunkcast.Bridge{Codecs: []media.AudioCodec{aac.Codec{}, opus.Codec{}}}
//	server := &trunk.Server{Trunks: trunks, Handler: bridge, Listener: listener.AddPort{}}
//	err = server.ListenAndServe(ctx)
//
// # Packages
//
// Imports go down this list only:
//
//	media            codecs, tracks, frames, Sink, Source, Stream; of others the resampler only
//	media/sdp        offer and answer as functions on values
//	media/rtpio      RTP, RTCP, SRTP of one call
//	media/aac, ...   audio codecs, each to be left out by a program that needs it not
//	listener         SipMessageListener and ready-made ones
//	rtmp             Publisher, Player, Server
//	inject           files and other sources to play to a caller: Session.Inject
//	inject/httpfile  files of web servers, inject/s3 of S3, inject/rtsp streams of cameras
//	trunk            Server, Trunk, Call: SIP without media
//	record           calls into files, record/s3 and from there to S3
//	trunkcast        Bridge, Session
//	gateway          all of it as a program: see examples/gateway
//
// # The end of a call
//
// The BYE is answered at once. Then the media session is closed and gives its
// last frames to the stream, the stream to its targets, each at most 2 s, and
// the publishers take the stream off their servers. [CallEnded] comes last.
package trunkcast
