// Package gateway is the trunkcast program as a package: what
// examples/gateway runs, for programs that want it with listeners, outputs or
// a configuration of their own.
//
//	sip_trunk.yml --> trunk.Server --> trunkcast.Bridge --> rtmp.Publisher ----> your RTMP server
//	                      ^                          '----> rtmp.Server (embedded) --> players
//	          Options.Listeners
//
// The REST interface (package api) plays files and streams into calls:
//
//	curl -H 'Content-Type: application/json' \
//	    -d '{"callId":"...","streamName":"vod://clip.mp4"}' \
//	    http://127.0.0.1:8081/rest-api/call/inject_stream/startup
//
// where streamName is vod://FILE or vod-live://FILE of the media folder,
// http(s)://, rtmp(s)://, rtsp(s)://, s3://BUCKET/KEY, call:ID of another call,
// or the name of a stream.
//
// [Run] starts all of it and returns when its context has ended and the calls
// were hung up. [Config] is what a gateway.yml holds; its zero value is a
// trunk on port 40000, the embedded RTMP server on port 1935 and the REST
// interface on port 8081, all on loopback only.
package gateway
