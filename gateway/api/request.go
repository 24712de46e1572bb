package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// request is the JSON object of a request. Clients of the product write
// numbers and booleans as strings, so a scalar is read as its text.
type request map[string]json.RawMessage

func parseRequest(data []byte) (request, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return request{}, nil
	}
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, badRequest("the body is not a JSON object: %v", err)
	}
	return r, nil
}

// text returns a scalar as text, empty if it is missing or null.
func (r request) text(key string) (string, error) {
	raw, ok := r[key]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	if raw[0] != '"' {
		if raw[0] == '{' || raw[0] == '[' {
			return "", badRequest("%s must be a text", key)
		}
		return string(raw), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", badRequest("%s: %v", key, err)
	}
	return s, nil
}

// needed is text that must not be empty.
func (r request) needed(key string) (string, error) {
	s, err := r.text(key)
	if err == nil && s == "" {
		err = badRequest("%s is missing", key)
	}
	return s, err
}

// flag returns a boolean, which may be written as a text.
func (r request) flag(key string, missing bool) (bool, error) {
	s, err := r.text(key)
	if err != nil || s == "" {
		return missing, err
	}
	b, err := strconv.ParseBool(strings.ToLower(s))
	if err != nil {
		return false, badRequest("%s must be true or false, not %q", key, s)
	}
	return b, nil
}

// known refuses keys that an operation does not know, so that a filter with a
// misspelt key does not match everything.
func (r request) known(keys ...string) error {
	for k := range r {
		if !slices.Contains(keys, k) {
			return badRequest("unknown key %q (known: %s)", k, strings.Join(keys, ", "))
		}
	}
	return nil
}
