// Package rtmp publishes, plays and serves live streams over RTMP and RTMPS
// (Adobe's RTMP specification 1.0, Enhanced RTMP v1 for H.265 and Opus).
//
//	media.Frame --> Publisher --chunks--> any RTMP server      (a media.Sink)
//	any RTMP server --chunks--> Player --> media.Frame         (a media.Source)
//	encoders --> Server --> players                            (GOP cache, limits)
//	                ^ +---> Server.Source (media.Source)
//	                +------ Server.Publish (media.Sink)
//
// Inside, from the wire upwards: chunkReader and chunkWriter cut messages into
// chunks; conn is one connection with its protocol control messages and its
// bounded output; session is the client's way to a publishing or playing
// stream; muxer and demuxer turn frames into FLV tags and back.
//
// H.264, AAC and G.711 travel as plain FLV tags, which every server takes;
// H.265 and Opus as Enhanced RTMP, which only newer ones know. Times are
// milliseconds on the stream's own timeline, which a reconnection does not
// restart.
package rtmp
