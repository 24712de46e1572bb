// Command testreport reads the output of go test -json and prints what a
// person wants of it: the output of what failed, a line a package, and the
// slowest tests.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type result struct {
	name   string
	took   time.Duration
	output []string
}

func main() {
	failed, err := report(bufio.NewScanner(os.Stdin))
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// report prints the results and tells whether a test or a build failed.
func report(lines *bufio.Scanner) (failed bool, err error) {
	lines.Buffer(nil, 4<<20)
	open := map[string]*result{}
	var slow []*result
	passed, skipped := 0, 0
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // a build error
			continue
		}
		key := e.Package + " " + e.Test
		r := open[key]
		if r == nil {
			r = &result{name: strings.TrimSpace(key)}
			open[key] = r
		}
		r.took = time.Duration(e.Elapsed * float64(time.Second))
		switch e.Action {
		case "output", "build-output":
			r.output = append(r.output, e.Output)
			if e.Test != "" && strings.Contains(e.Output, "measured:") {
				fmt.Print(e.Output)
			}
		case "build-fail":
			failed = true
			fmt.Print(strings.Join(r.output, ""))
		case "fail":
			failed = true
			fmt.Print(strings.Join(r.output, ""))
			delete(open, key)
		case "pass", "skip":
			if e.Test != "" {
				slow = append(slow, r)
				passed++
				if e.Action == "skip" {
					skipped++
					fmt.Println("skipped:", r.name)
				}
			}
			delete(open, key)
		}
	}
	slices.SortFunc(slow, func(a, b *result) int { return cmp.Compare(b.took, a.took) })
	for _, r := range slow[:min(10, len(slow))] {
		if r.took > time.Second {
			fmt.Printf("slow: %6.1fs %s\n", r.took.Seconds(), r.name)
		}
	}
	fmt.Printf("tests: %d passed, %d skipped, failed: %v\n", passed-skipped, skipped, failed)
	return failed, lines.Err()
}
