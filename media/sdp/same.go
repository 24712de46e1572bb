package sdp

import "slices"

// sameSession tells whether two descriptions of a peer say the same. The o=
// line is left out: some peers raise the version without a change, and the
// reverse.
func sameSession(a, b *Description) bool {
	return a != nil && b != nil && a.Connection == b.Connection &&
		slices.Equal(a.Bandwidth, b.Bandwidth) && slices.Equal(a.Attributes, b.Attributes) &&
		slices.EqualFunc(a.Media, b.Media, sameMedia)
}

func sameMedia(a, b *Media) bool {
	return a.Type == b.Type && a.Port == b.Port && a.Proto == b.Proto && slices.Equal(a.Formats, b.Formats) &&
		a.Connection == b.Connection && slices.Equal(a.Bandwidth, b.Bandwidth) &&
		slices.Equal(a.Attributes, b.Attributes)
}
