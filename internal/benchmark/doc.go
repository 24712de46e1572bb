// Package benchmark holds what make bench runs: calls through the gateway
// beside other programs doing the same, in one run on one machine, so that the
// ratios count.
package benchmark
