// Package timeline places the RTP clocks of one caller on one timeline.
//
//	RTP time, arrival --> Track.Map --> PTS
//	sender reports -----> bias between tracks
//	arrivals of all tracks --> Timeline.Playout: how far behind to play
//
// It is pure: times come in as values, nothing is read from a clock, so that
// an hour is tested in a moment.
//
// # How it works
//
// The transit of a packet is its arrival less its RTP time. The smallest one
// of the last seconds belongs to a packet that waited nowhere: it moves only
// with the skew between the caller's clock and ours.
//
// Audio is the master: its PTS are RTP time plus a constant, so that sound is
// contiguous where its timestamps are. The other tracks follow it: they are
// placed so that the smallest transits agree, plus a bias that sender reports
// (RFC 3550 section 6.4.1) tell, because a camera and its encoder take longer
// than a microphone. Followers move by [SlewRate], or faster up to
// [FastSlew] while they are far astray. A report that
// contradicts the arrivals by more than [MaxBias] is not believed; of the last
// few the median counts, so that a single wrong one does nothing.
//
// Timestamps that jump (a transfer behind the same SSRC), stand still during
// hold or begin anew are placed by arrival again, never before what was there.
package timeline
