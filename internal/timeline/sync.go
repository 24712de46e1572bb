package timeline

import "time"

// Sync is how a track that follows stands to the one that it follows.
type Sync struct {
	// Offset is how much later than their pictures the sound is given, as far
	// as that is known: what slewing has not made good yet. Below 0 the
	// pictures are late.
	Offset time.Duration
	// Bias is what sender reports tell beyond the arrival, as believed.
	Bias time.Duration
	// Reported tells that Bias comes from reports. Else arrival alone counts:
	// the two are then apart by what their ways from lens and microphone into
	// the network differ.
	Reported bool
}

// Sync tells how t stands to its leader; ok is false if it has none.
func (t *Track) Sync(now time.Duration) (s Sync, ok bool) {
	d, ok := t.astray(now)
	if !ok {
		return Sync{}, false
	}
	return Sync{Offset: d, Bias: t.bias, Reported: t.biases.n > 0 || t.bias != 0}, true
}
