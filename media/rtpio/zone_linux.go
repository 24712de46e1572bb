package rtpio

import (
	"net"
	"sync"
)

// zones keeps the names of interfaces by their index, and zoneIndexes the
// other way: a look-up is a system call, and there are few.
var zones, zoneIndexes sync.Map

func zoneOf(index uint32) string {
	if name, ok := zones.Load(index); ok {
		return name.(string)
	}
	i, err := net.InterfaceByIndex(int(index))
	if err != nil {
		return ""
	}
	zones.Store(index, i.Name)
	return i.Name
}

func zoneIndex(name string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if index, ok := zoneIndexes.Load(name); ok {
		return index.(uint32), nil
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	zoneIndexes.Store(name, uint32(i.Index))
	return uint32(i.Index), nil
}
