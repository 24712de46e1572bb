package trunkcast_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// userModule makes a folder with a module of a user's, of the versions of
// go.mod, so that nothing has to be looked up.
func userModule(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	_, requirements, _ := strings.Cut(string(gomod), "\ngo ")
	files["go.mod"] = "module example.org/user\n\ngo " + requirements +
		"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
	files["go.sum"] = string(sum)
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", filepath.Join(dir, "user"), ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// readmePrograms are the files of Go in the README, in its order.
func readmePrograms(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var programs []string
	for i, part := range strings.Split(string(readme), "```go\n") {
		if program, _, _ := strings.Cut(part, "```"); i > 0 {
			programs = append(programs, program)
		}
	}
	if len(programs) != 2 {
		t.Fatalf("%d programs, want the library and a listener", len(programs))
	}
	return programs
}

// TestReadmeProgram builds the program of the README in a module of its own,
// as a user would, and starts it.
func TestReadmeProgram(t *testing.T) {
	dir := userModule(t, map[string]string{"main.go": readmePrograms(t)[0]})
	run := func() string {
		p := exec.Command(filepath.Join(dir, "user"))
		p.Dir = dir
		out, _ := p.CombinedOutput()
		return string(out)
	}
	if out := run(); !strings.Contains(out, "sip_trunk.yml") {
		t.Errorf("without a trunk file: %s", out)
	}
	bad := "trunks:\n a:\n  localPort: 40000\n  proxyIp: 127.0.0.1\n  url: rtmp://127.0.0.1/live\n  streamName: '{nope}'\n"
	if err := os.WriteFile(filepath.Join(dir, "sip_trunk.yml"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(); !strings.Contains(out, "sip_trunk.yml:6: trunks.a.streamName") {
		t.Errorf("with a bad one: %s", out)
	}
}

// TestReadmeListener builds that program with the listener of the README, which
// is plugged in as it says.
func TestReadmeListener(t *testing.T) {
	programs := readmePrograms(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const plugged = "Listener: listener.Chain{listener.AddPort{}, Bar{}}"
	main := strings.Replace(programs[0], "Listener: listener.AddPort{}", plugged, 1)
	if main == programs[0] || !strings.Contains(string(readme), "`"+plugged+"`") {
		t.Fatal("the README does not tell how the listener is plugged in")
	}
	userModule(t, map[string]string{"main.go": main, "bar.go": programs[1]})
}
