// Command testreport runs go test with the arguments given and prints what a
// person wants of its output: that of what failed, the slowest tests, and a
// closing line "N passed, N failed, N skipped". It ends with status 1 if
// anything failed.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	ok, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run runs the tests and tells whether all passed.
func run(args []string, out io.Writer) (ok bool, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	output, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return false, err
	}
	r := newReport(out)
	readErr := r.read(output)
	if err := cmd.Wait(); err != nil && r.failed == 0 {
		// The reason is above, printed as it came.
		r.printf("go test: %v\n", err)
		r.failed++
	}
	r.close()
	return r.failed == 0, readErr
}
