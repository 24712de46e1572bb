// Package record writes calls into files and looks after the files.
//
//	media.Stream --Frame--> Recording --queue--> goroutine: cut, mux, write --> folder/part
//	                                                                              |
//	              command, upload, event <--one job a file-- Finisher <-----------+
//
// A [Recorder] holds the settings and makes a [Recording] for each call, which
// is a media.Sink for H.264 or H.265 with AAC or Opus, each of them alone too:
//
//	recorder := &record.Recorder{Folder: "/var/spool/records", Finalize: true}
//	rec, err := recorder.Record(record.Info{Stream: "rtmp_100"}, record.Options{})
//	sub, err := stream.Attach(rec, recorder.SinkOptions())
//	...
//	sub.Close() // or the end of the stream
//
// A file is a fragmented MP4 (ISO 14496-12, section 8.8), which can be played
// up to its last fragment however the program ended; at the end it becomes,
// by choice, a plain MP4 with the index first. MPEG-TS is the alternative.
// Parameter sets stand before every key frame, so that a new resolution goes
// on in the same file; what a file cannot take (another codec, a track that
// was not there when it began) goes into a new part.
//
// One goroutine of each Recording does all that touches the disk. A disk that
// is slow, full or gone delays nobody else: the Stream drops whole groups of
// pictures, an [Event] tells, and with room again the recording goes on in a
// new part.
//
// A [Finisher] takes the files that are complete: it makes them plain, names
// them, runs a command, uploads them (package record/s3), and keeps its jobs on disk
// so that a restart loses none. Its jobs outlive the calls.
package record
