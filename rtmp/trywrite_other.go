//go:build !unix

package rtmp

const canTryWrite = false

func tryWrite(uintptr, []byte) int { return 0 }
