package media

import "time"

// StreamStats are the counters of a [Stream].
type StreamStats struct {
	// Frames, Bytes and KeyFrames were written to the stream.
	Frames, Bytes, KeyFrames uint64
	// KeyRequests counts calls of NeedKeyFrame.
	KeyRequests uint64
	// Abandoned counts sinks that did not return.
	Abandoned uint64
	// Tracks are the latest of each kind.
	Tracks []*Track
	// Renditions are the transcodings, also those that have ended.
	Renditions []RenditionStats
	// Sinks are those that have not ended, in the order in which they came.
	Sinks []SinkStats
}

// SinkStats are the counters of one sink or Source of a [Stream].
type SinkStats struct {
	Name string
	SubscriptionStats
}

// RenditionStats are the counters of the transcoding to one codec.
type RenditionStats struct {
	Codec   Codec
	Encoder EncoderOptions
	// Track is what it makes, nil before its encoder is there.
	Track *Track
	// Running tells whether some sink wants it now.
	Running bool
	// Frames were made; Dropped came in faster than they could be taken.
	Frames, Dropped uint64
	// Concealed is the audio made up for what was lost, Silence what was
	// filled in where there was none for longer.
	Concealed, Silence time.Duration
	// Cut is the audio left away because its time had passed already.
	Cut time.Duration
	// DecodeErrors and EncodeErrors count frames.
	DecodeErrors, EncodeErrors uint64
}

// add sums up two runs of the same rendition.
func (a *RenditionStats) add(b RenditionStats) {
	a.Track, a.Running = b.Track, a.Running || b.Running
	a.Frames += b.Frames
	a.Dropped += b.Dropped
	a.Concealed += b.Concealed
	a.Silence += b.Silence
	a.Cut += b.Cut
	a.DecodeErrors += b.DecodeErrors
	a.EncodeErrors += b.EncodeErrors
}

// maxPast bounds the ended renditions whose counters are kept.
const maxPast = 16

// addRendition adds st to the entry of its kind in list.
func addRendition(list []RenditionStats, st RenditionStats) []RenditionStats {
	for i := range list {
		if list[i].Codec == st.Codec && list[i].Encoder == st.Encoder {
			list[i].add(st)
			return list
		}
	}
	return append(list, st)
}

// Stats returns the counters now. It may be called at any time.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	st := s.stats
	st.Tracks = s.latestTracks()
	st.Renditions = append([]RenditionStats(nil), s.past...)
	renditions := append([]*rendition(nil), s.renditions...)
	subs := append([]*Subscription(nil), s.subs...)
	s.mu.Unlock()
	st.Abandoned = s.abandoned.Load()
	for _, r := range renditions {
		st.Renditions = addRendition(st.Renditions, r.snapshot())
	}
	for _, u := range subs {
		st.Sinks = append(st.Sinks, SinkStats{u.options.Name, u.Stats()})
	}
	return st
}
