package trunkcast

import (
	"errors"

	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/record"
)

// ErrNoRecorder tells that a Bridge has no Recorder.
var ErrNoRecorder = errors.New("trunkcast: the bridge has no recorder")

// Record writes the call to files from its next key frame on, until the
// recording or the call ends. It can be called again, also while another
// recording runs. Bridge.Recorder makes the files; o is what differs.
func (s *Session) Record(o record.Options) (*record.Recording, error) {
	r := s.bridge.Recorder
	if r == nil {
		return nil, ErrNoRecorder
	}
	if o.NeedKeyFrame == nil {
		o.NeedKeyFrame = s.media.RequestKeyFrame
	}
	if o.Pictures == nil {
		o.Pictures = func() bool { return s.media.Agreed().Line(sdp.Video) != nil }
	}
	rec, err := r.Record(record.Info{
		Stream: s.stream.Name, CallID: s.ID(), Caller: s.call.Caller(), Number: s.call.Number(),
		Trunk: s.call.Trunk().Name(), Login: s.call.Trunk().Config().Login,
	}, o)
	if err != nil {
		return nil, err
	}
	sink := r.SinkOptions()
	_, err = s.AddOutput(Target{Name: sink.Name, Sink: rec, Audio: sink.Audio, MaxQueue: sink.MaxQueue, MaxDelay: sink.MaxDelay})
	if err != nil {
		return nil, err // AddOutput has closed the recording
	}
	return rec, nil
}

// Recordings are those that write the call to files now, in the order in which
// they began.
func (s *Session) Recordings() (list []*record.Recording) {
	for _, o := range s.Outputs() {
		if r, ok := o.sink.(*record.Recording); ok {
			list = append(list, r)
		}
	}
	return list
}

// StopRecording ends a recording in order: what came until now is in its
// files. The call, and other recordings of it, go on. It returns when the last
// file was given to the Finisher, or when the disk took too long for that.
func (s *Session) StopRecording(r *record.Recording) error {
	for _, o := range s.Outputs() {
		if o.sink == r {
			return o.Close()
		}
	}
	return r.Close() // has ended, or begun elsewhere
}
