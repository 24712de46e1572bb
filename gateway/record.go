package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/record/s3"
)

const (
	defaultRecordFolder = "records"
	// jobsFolder is where the journal is by default, in the folder of records.
	jobsFolder = ".jobs"
)

// startRecorder makes the recorder. Without a journal it writes nothing before
// a call is recorded.
func (g *Gateway) startRecorder() error {
	c := g.cfg.Record
	location, err := time.LoadLocation(c.Timezone) // "" is UTC
	if err != nil {
		return fmt.Errorf("gateway: recordTimezone: %w", err)
	}
	if g.finisher, err = g.newFinisher(); err != nil {
		return err
	}
	g.recorder = &record.Recorder{
		Folder: c.Folder, Template: c.Template, Rotation: c.Rotation, Format: c.Format, PartDuration: c.PartDuration,
		Finalize: c.Finalize, Location: location, Retention: c.Retention, Reserve: c.Reserve, Warn: c.Warn,
		Finisher: g.finisher, OnEvent: g.opts.OnRecord, Logger: g.log,
	}
	g.Bridge.Recorder = g.recorder
	if g.finisher.Journal == "" && c.Retention == (record.Retention{}) {
		return nil
	}
	if err := g.recorder.Start(); err != nil { // goes on with what was left
		return fmt.Errorf("gateway: recordings: %w", err)
	}
	return nil
}

// newFinisher makes what works on complete files.
func (g *Gateway) newFinisher() (*record.Finisher, error) {
	c := g.cfg.Record
	f := &record.Finisher{CommandTimeout: c.HookTimeout, Journal: c.Journal, OnEvent: g.opts.OnRecord, Logger: g.log}
	if c.Hook != "" {
		hook, err := filepath.Abs(c.Hook)
		if err != nil {
			return nil, fmt.Errorf("gateway: recordHook: %w", err)
		}
		f.Command = []string{hook}
	}
	if c.Upload.Bucket == "" {
		return f, nil
	}
	u := g.newUploader()
	if err := u.Check(); err != nil {
		return nil, fmt.Errorf("gateway: recordBucket: %w", err)
	}
	f.Uploader, f.RemoveLocal = u, c.Upload.RemoveLocal
	if f.Journal == "" {
		f.Journal = filepath.Join(cmp.Or(c.Folder, defaultRecordFolder), jobsFolder)
	}
	return f, nil
}

// newUploader uploads with the credentials of its own, or those for playing.
func (g *Gateway) newUploader() *s3.Uploader {
	c := g.cfg.Record.Upload
	at := c.S3
	if at == (S3Config{}) {
		at = g.cfg.S3
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	g.closers = append(g.closers, transport.CloseIdleConnections)
	return &s3.Uploader{
		Endpoint: at.Endpoint, Bucket: c.Bucket, Prefix: c.Prefix, Region: at.Region, AccessKey: at.AccessKey,
		SecretKey: string(at.SecretKey), PathStyle: at.PathStyle, Transport: transport,
	}
}

// stopRecorder completes the files. Jobs that a journal keeps are not lost.
func (g *Gateway) stopRecorder(ctx context.Context) error {
	if g.recorder == nil {
		return nil
	}
	err := g.recorder.Close()
	left := g.finisher.Shutdown(ctx)
	if g.finisher.Journal != "" && errors.Is(left, record.ErrPending) && !errors.Is(left, record.ErrStalled) {
		g.log.Info("work on recordings goes on after the next start", "error", left)
		left = nil
	}
	return errors.Join(err, left)
}
