package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// maxOutput is how much of what a command prints goes into its error, in
// bytes.
const maxOutput = 2 << 10

// runCommand runs argv with two more arguments, no shell between, and ends it
// and its children after limit.
func runCommand(ctx context.Context, argv []string, limit time.Duration, stream, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()
	args := append(argv[1:len(argv):len(argv)], stream, path)
	cmd := exec.CommandContext(ctx, argv[0], args...)
	out := &head{}
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)
	// A child that has left the group may keep the output open.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return fmt.Errorf("%s: %w", argv[0], cause)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", argv[0], err, bytes.TrimSpace(out.b))
	}
	return nil
}

// head keeps the beginning of what is written.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxOutput-len(h.b))]...)
	return len(p), nil
}
