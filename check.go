package trunkcast

import (
	"errors"

	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// CheckConfig finds what in a trunk's configuration only shows when a call
// comes: its sdp block, sdpParams and stream name. The warnings tell what has
// no effect, beside those of cfg.Warnings.
func CheckConfig(cfg trunk.Config) (warnings []string, err error) {
	if _, err = ParseNameTemplate(cfg.StreamName); err != nil {
		err = cfg.KeyError("streamName", err)
	}
	caps, capsErr := newCapabilities(cfg)
	if err := errors.Join(err, capsErr); err != nil {
		return nil, err
	}
	if caps.Template != nil {
		warnings = append(warnings, caps.Template.Warnings...)
	}
	if caps.Lines != nil && len(cfg.Warnings) == 0 { // a file's tell of them, with the line
		warnings = append(warnings, caps.Lines.Warnings...)
	}
	return warnings, nil
}

// CheckConfigs is [CheckConfig] for all trunks of a trunk.Server, which calls it
// when it starts. Warnings are logged.
func (b *Bridge) CheckConfigs(trunks []trunk.Config) error {
	b.init()
	var errs []error
	for _, cfg := range trunks {
		warnings, err := CheckConfig(cfg)
		if err != nil {
			errs = append(errs, err)
		}
		for _, w := range warnings {
			b.log.Warn("trunk file", "trunk", cfg.Name, "warning", w)
		}
	}
	return errors.Join(errs...)
}

// newCapabilities reads the sdp block and sdpParams of a trunk.
func newCapabilities(cfg trunk.Config) (*sdp.Capabilities, error) {
	caps := &sdp.Capabilities{Strict: cfg.StrictSDP}
	var err, linesErr error
	if cfg.SDP != "" {
		if caps.Template, err = sdp.ParseTemplate([]byte(cfg.SDP)); err != nil {
			err = cfg.KeyError("sdp", err)
		}
	}
	if len(cfg.SDPParams) > 0 {
		if caps.Lines, linesErr = sdp.ParseLines(cfg.SDPParams); linesErr != nil {
			linesErr = cfg.KeyError("sdpParams", linesErr)
		}
	}
	if err := errors.Join(err, linesErr); err != nil {
		return nil, err
	}
	return caps, nil
}
