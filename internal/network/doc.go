// Package network holds the tests of calls over a bad network: a caller with
// a clock, a flash and a beep each second goes through a relay that loses,
// delays and reorders packets, the gateway and an RTMP server that is not
// ours, and what a player gets is measured.
//
//	camera -> rtpio.Session -> relay -> gateway -> nginx-rtmp -> ffmpeg, VLC
//	   ^--- PLI, NACK -----------'
package network
