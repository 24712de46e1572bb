package s3

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/record"
)

// writeCall records a short call.
func writeCall(t *testing.T, r *record.Recorder) {
	t.Helper()
	rec, err := r.Record(record.Info{Stream: "call"}, record.Options{Template: "{stream}"})
	if err != nil {
		t.Fatal(err)
	}
	if err := mediatest.Feed(t.Context(), rec, mediatest.Merge(time.Second, &mediatest.Video{})); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
}
