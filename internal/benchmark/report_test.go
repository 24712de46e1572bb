//go:build peers && bench

package benchmark

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Sections of docs/performance.md.
const (
	callsSection  = "## Calls beside ffmpeg"
	injectSection = "## Into the call beside ffmpeg"
	setupSection  = "## Setting up calls beside SIPp"
	recordSection = "## Recorded calls beside ffmpeg"
)

// addToReport puts text at the end of a section of docs/performance.md.
func addToReport(t *testing.T, section, text string) {
	t.Helper()
	t.Log(text)
	const file = "../../docs/performance.md"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(old), section+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, section)
	}
	body, next, more := strings.Cut(after, "\n## ")
	all := before + section + "\n" + strings.TrimRight(body, "\n") + "\n\n" + strings.Trim(text, "\n") + "\n"
	if more {
		all += "\n## " + next
	}
	if err := os.WriteFile(file, []byte(all), 0o644); err != nil {
		t.Fatal(err)
	}
}

// buildGateway returns the program, made in dir.
func buildGateway(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "gateway")
	build := exec.Command("go", "build", "-o", file, "github.com/trunkcast/trunkcast/examples/gateway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return file
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}
