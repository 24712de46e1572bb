//go:build linux

package peertest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Kamailio is a registrar with digest authentication and a proxy with
// Record-Route. A number that begins with 9 is sent to the contact that
// registered as "trunk", one that begins with 2 to the softphone with that
// name, any other to the gateway's address.
type Kamailio struct {
	Port    int // UDP and TCP on 127.0.0.1
	Process *Process
}

// Addr is the proxy's address, for UDP and TCP.
func (k *Kamailio) Addr() string { return Loopback(k.Port) }

// Seen tells how many requests with that method have come, retransmissions and
// those within dialogs counted.
func (k *Kamailio) Seen(method string) int {
	return strings.Count(k.Process.Output(), "request "+method+" ")
}

// KamailioPassword is the password of every user.
const KamailioPassword = "s3cret"

// KamailioOptions describe the proxy.
type KamailioOptions struct {
	Gateways  []string // host:port each; several share the calls
	Transport string   // towards the gateways: "udp" (default) or "tcp"
	// Ping sends OPTIONS to the gateways each second, and calls to those only
	// that answer with 2xx.
	Ping bool
	// AuthInvite challenges INVITEs with 407, those of the gateways too.
	AuthInvite bool
}

const kamailioConfig = `
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:127.0.0.1:${PORT}
listen=tcp:127.0.0.1:${PORT}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "dispatcher.so"
loadmodule "xlog.so"
modparam("rr", "enable_full_lr", 1)
modparam("registrar", "default_expires", 120)
modparam("registrar", "gruu_enabled", 0)
modparam("usrloc", "db_mode", 0)
modparam("dispatcher", "list_file", "${DIR}/gateways")
modparam("dispatcher", "ds_ping_interval", ${PING})
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 1)
request_route {
	xlog("L_NOTICE", "request $rm from $si:$sp\n");
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
		sl_send_reply("404", "Not here"); exit;
	}
	t_check_trans();
	if (is_method("REGISTER")) {
		pv_www_authenticate("$td", "${PASSWORD}", "0");
		$var(auth) = $retcode;
		if ($var(auth) == -2) { sl_send_reply("403", "Wrong password"); exit; }
		if ($var(auth) < 0) { www_challenge("$td", "1"); exit; }
		if (!save("location")) sl_reply_error();
		exit;
	}
	if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
	if (is_method("INVITE") && ${AUTH}) {
		pv_proxy_authenticate("$fd", "${PASSWORD}", "0");
		$var(auth) = $retcode;
		if ($var(auth) == -2) { sl_send_reply("403", "Wrong password"); exit; }
		if ($var(auth) < 0) { proxy_challenge("$fd", "1"); exit; }
		consume_credentials();
	}
	record_route();
	if ($rU =~ "^9") {
		$var(number) = $rU;
		$ru = "sip:trunk@" + $td;
		if (!lookup("location")) { sl_send_reply("404", "Trunk not registered"); exit; }
		remove_hf("P-Called-Party-ID");
		append_hf("P-Called-Party-ID: <sip:$var(number)@$td>\r\n");
	} else if ($rU =~ "^2") {
		if (!lookup("location")) { sl_send_reply("404", "Not registered"); exit; }
	} else if (!ds_select_dst("1", "4")) {
		sl_send_reply("503", "No gateway"); exit;
	}
	t_relay();
}
`

// StartKamailio starts a Kamailio that relays to the gateway at
// "127.0.0.1:PORT" over "udp" or "tcp".
func StartKamailio(t testing.TB, gateway, transport string) *Kamailio {
	t.Helper()
	return StartKamailioWith(t, KamailioOptions{Gateways: []string{gateway}, Transport: transport})
}

// StartKamailioWith starts a Kamailio as the options say.
func StartKamailioWith(t testing.TB, o KamailioOptions) *Kamailio {
	t.Helper()
	if o.Transport == "" {
		o.Transport = "udp"
	}
	k := &Kamailio{Port: Port(t)}
	folder := t.TempDir()
	var gateways strings.Builder
	for _, g := range o.Gateways {
		fmt.Fprintf(&gateways, "1 sip:%s;transport=%s 0 0 \n", g, o.Transport)
	}
	write(t, folder, "gateways", gateways.String())
	config := write(t, folder, "kamailio.cfg", expand(kamailioConfig,
		"PORT", strconv.Itoa(k.Port), "DIR", folder, "PASSWORD", KamailioPassword,
		"PING", flag(o.Ping), "AUTH", flag(o.AuthInvite)))
	k.Process = Start(t, "kamailio", "-DD", "-E", "-f", config, "-Y", folder,
		"-P", folder+"/kamailio.pid", "-m", "64", "-M", "8", "-u", strconv.Itoa(os.Getuid()))
	waitListening(t, k.Process, k.Addr())
	return k
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
