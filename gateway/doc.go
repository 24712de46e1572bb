// Package gateway is the trunkcast program as a package: what
// examples/gateway runs, for programs that want it with listeners, outputs or
// a configuration of their own.
//
//	sip_trunk.yml --> trunk.Server --> trunkcast.Bridge --> rtmp.Publisher ----> your RTMP server
//	                      ^                          '----> rtmp.Server (embedded) --> players
//	          Options.Listeners
//
// [Run] starts all of it and returns when its context has ended and the calls
// were hung up. [Config] is what a gateway.yml holds; its zero value is a
// trunk on port 40000 and the embedded RTMP server on port 1935, both on
// loopback only.
package gateway
