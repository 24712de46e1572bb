//go:build !unix

package rtpio

// isConfigurationError cannot be told apart here: every port is tried.
func isConfigurationError(error) bool { return false }
