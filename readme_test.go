package trunkcast_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeProgram builds the program of the README in a module of its own,
// as a user would.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(readme), "```go\npackage main")
	if !found {
		t.Fatal("README.md has no program")
	}
	program, _, _ = strings.Cut(program, "```")
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	// The versions of go.mod, so that nothing has to be looked up.
	_, requirements, _ := strings.Cut(string(gomod), "\ngo ")
	mod := "module example.org/user\n\ngo " + requirements +
		"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.go": "package main" + program, "go.mod": mod, "go.sum": string(sum),
	} {
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
	// It runs: without a file it says so.
	run := exec.Command(filepath.Join(dir, "user"))
	run.Dir = dir
	out, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "sip_trunk.yml") {
		t.Errorf("without a trunk file: %v, %s", err, out)
	}
}
