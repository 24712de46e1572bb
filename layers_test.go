package trunkcast_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/trunkcast/trunkcast"

// dependencies of a package of this module, other than the standard library.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

// TestLayers holds the direction of imports: see doc.go.
func TestLayers(t *testing.T) {
	heavy := []string{
		"github.com/thesyncim/gopus", "github.com/minio", "github.com/pion/webrtc", "github.com/prometheus",
		"github.com/gotranspile/g722", "github.com/tphakala",
	}
	for _, c := range []struct {
		pkg    string
		only   []string // of this module, beside itself and internal
		banned []string
	}{
		{pkg: "media", only: []string{}, banned: []string{"github.com/"}},
		{pkg: "media/sdp", only: []string{"media"}, banned: heavy},
		{pkg: "media/rtpio", only: []string{"media", "media/sdp"}, banned: append(heavy, "github.com/emiago")},
		{pkg: "media/aac", only: []string{"media"}, banned: []string{"github.com/tphakala"}},
		{pkg: "media/opus", only: []string{"media"}},
		{pkg: "listener", only: []string{}, banned: heavy},
		{pkg: "rtmp", only: []string{"media"}, banned: append(heavy, "github.com/emiago")},
		{pkg: "trunk", only: []string{"listener"}, banned: append(heavy, "github.com/pion", "github.com/bluenviron", "github.com/notedit")},
		{pkg: "inject", only: []string{"media"}, banned: append(heavy, "github.com/emiago")},
		{pkg: "record", only: []string{"media"}, banned: append(heavy, "github.com/emiago")},
		{pkg: ".", only: []string{"media", "media/sdp", "media/rtpio", "listener", "rtmp", "trunk", "inject", "record"}, banned: heavy},
	} {
		t.Run(c.pkg, func(t *testing.T) {
			for _, dep := range dependencies(t, "./"+c.pkg) {
				if err := allowed(dep, c.pkg, c.only, c.banned); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func allowed(dep, pkg string, only, banned []string) error {
	own, isOwn := strings.CutPrefix(dep, module)
	own = strings.TrimPrefix(own, "/")
	if isOwn {
		self := strings.TrimPrefix(pkg, "./")
		if pkg == "." {
			self = ""
		}
		if own == self || strings.HasPrefix(own, "internal/") || strings.HasPrefix(own, self+"/internal") {
			return nil
		}
		for _, o := range only {
			if own == o || strings.HasPrefix(own, o+"/internal") {
				return nil
			}
		}
		return fmt.Errorf("%s imports %s", pkg, own)
	}
	for _, b := range banned {
		if strings.HasPrefix(dep, b) {
			return fmt.Errorf("%s imports %s", pkg, dep)
		}
	}
	return nil
}
