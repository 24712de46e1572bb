package trunk

import (
	"time"
)

// withDefaults fills in what Config documents.
func (c Config) withDefaults() Config {
	set := func(p *string, d string) {
		if *p == "" {
			*p = d
		}
	}
	set(&c.AuthUser, c.Login)
	set(&c.Domain, c.ProxyIP)
	if c.Register == nil {
		yes := true
		c.Register = &yes
	}
	if c.Expires <= 0 {
		c.Expires = time.Hour
	}
	set(&c.Transport, "udp")
	if c.RemotePort == 0 && isIP(c.ProxyIP) { // else SRV records are asked for it
		c.RemotePort = 5060
		if c.Transport == "tls" {
			c.RemotePort = 5061
		}
	}
	if c.KeepAlive == 0 && *c.Register && c.Transport == "udp" {
		c.KeepAlive = 25 * time.Second
	}
	set(&c.LargeRequests, "udp")
	set(&c.Reliable, "supported")
	set(&c.Transfers, "refuse")
	set(&c.ListenAddress, "0.0.0.0")
	set(&c.MediaAddress, c.PublicAddress)
	set(&c.Strangers, "refuse")
	set(&c.NumberFrom, "auto")
	if c.TLSCert != "" && c.TLSPort == 0 {
		c.TLSPort = 5061
	}
	if c.MediaPorts == (PortRange{}) {
		c.MediaPorts = PortRange{20000, 29999}
	}
	set(&c.Latching, "auto")
	if c.MediaTimeout == 0 {
		c.MediaTimeout = time.Minute
	}
	set(&c.StreamName, "rtmp_{number}")
	set(&c.SameNumber, "suffix")
	set(&c.Audio, "aac")
	if c.AudioBitRate == 0 {
		c.AudioBitRate = 64000
	}
	return c
}
