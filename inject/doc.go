// Package inject plays files and streams into a call.
//
//	vod://clip.mp4 --Opener--> media.Source --Injector: pace, loop, transcode--> media.Sink (the call)
//
// [Open] reads a file by its content: MP4 with H.264, H.265, AAC-LC and Opus,
// also fragmented; FLV; Ogg with Opus; WAV. A [File] gives the frames of all
// its tracks in the order of their DTS, from whatever can be read at any
// place, and holds no more of it in memory than its tables and one frame.
//
// An [Opener] finds a source by its URL; [Mux] chooses among them by scheme,
// [FolderOpener] serves the files of one folder and nothing outside it,
// [Shared] lets many calls watch one reading. [Reach] says where URLs may lead.
// The packages below this one open files of web servers (httpfile) and of S3
// (s3), and streams of RTSP servers (rtsp); streams of RTMP servers are sources
// as they come (rtmp.Player).
//
// An [Injector] takes a source in real time to a sink, and gives it the sound
// in a codec that it accepts. A [Mixer] adds the sounds of several of them.
// [Still] is a source of black pictures, made without an encoder.
package inject
