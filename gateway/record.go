package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/trunkcast/trunkcast/record"
)

// RecordConfig tells how calls are recorded that the trunk's key record, or
// the program, wants to be. The zero value works.
type RecordConfig struct {
	// Folder is where files go. Default records in the working directory.
	Folder string
	// Template of their names. Default record.DefaultTemplate.
	Template string
	Rotation record.Rotation
	Format   record.Format
	// Finalize turns fragmented MP4 into plain MP4 at the end.
	Finalize bool
	// Timezone of the names, such as Europe/Berlin. Default UTC.
	Timezone string
	// Hook is a program that is run for each complete file with two arguments:
	// the stream's name and the absolute path.
	Hook string
}

// startRecorder makes the recorder. It writes nothing before a call is
// recorded.
func (g *Gateway) startRecorder() error {
	c := g.cfg.Record
	location, err := time.LoadLocation(c.Timezone) // "" is UTC
	if err != nil {
		return fmt.Errorf("gateway: recordTimezone: %w", err)
	}
	g.finisher = &record.Finisher{OnEvent: g.opts.OnRecord, Logger: g.log}
	if c.Hook != "" {
		hook, err := filepath.Abs(c.Hook)
		if err != nil {
			return fmt.Errorf("gateway: recordHook: %w", err)
		}
		g.finisher.Command = []string{hook}
	}
	g.recorder = &record.Recorder{
		Folder: c.Folder, Template: c.Template, Rotation: c.Rotation, Format: c.Format, Finalize: c.Finalize,
		Location: location, Finisher: g.finisher, OnEvent: g.opts.OnRecord, Logger: g.log,
	}
	g.Bridge.Recorder = g.recorder
	return nil
}

// stopRecorder completes the files.
func (g *Gateway) stopRecorder(ctx context.Context) error {
	if g.recorder == nil {
		return nil
	}
	return errors.Join(g.recorder.Close(), g.finisher.Shutdown(ctx))
}
