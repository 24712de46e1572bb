package record_test

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/trunkcast/trunkcast/record"
)

// How a template and a rotation name the files of a call.
func ExampleTemplate() {
	t, err := record.ParseTemplate("{trunk}/{streamName}-{startTime}-{duration}")
	if err != nil {
		fmt.Println(err)
		return
	}
	v := record.Values{Info: record.Info{Stream: "rtmp_100", Trunk: "pbx_t0"}, Rotated: true}
	v.Start = time.Date(2026, 11, 24, 9, 5, 7, 0, time.UTC)
	v.Part, v.End, v.Duration = 1, v.Start.Add(time.Minute), time.Minute
	fmt.Println(t.Name(v))
	v.Part, v.Start, v.End = 2, v.End, time.Time{} // it is being written
	fmt.Println(t.Name(v))
	// Output:
	// pbx_t0/rtmp_100-20261124T090507Z-60-001
	// pbx_t0/rtmp_100-20261124T090607Z-recording-002
}

// What a gateway sets up for all of its calls.
func Example() {
	rotation, err := record.ParseRotation("20M")
	if err != nil {
		fmt.Println(err)
		return
	}
	finisher := &record.Finisher{Command: []string{"/opt/on_record.sh"}, Journal: filepath.Join("records", ".jobs")}
	recorder := &record.Recorder{Rotation: rotation, Finalize: true, Finisher: finisher,
		Retention: record.Retention{Age: 30 * 24 * time.Hour}}
	fmt.Println(recorder.Rotation, recorder.SinkOptions().Audio)
	// Output: 20M [AAC OPUS]
}
