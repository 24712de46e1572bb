//go:build linux

package peertest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Kamailio is a registrar with digest authentication and a proxy with
// Record-Route. A number that begins with 9 is sent to the contact that
// registered as "trunk", any other to the gateway's address.
type Kamailio struct {
	Port    int // UDP and TCP on 127.0.0.1
	Process *Process
}

// Addr is the proxy's address, for UDP and TCP.
func (k *Kamailio) Addr() string { return fmt.Sprintf("127.0.0.1:%d", k.Port) }

// KamailioPassword is the password of every user.
const KamailioPassword = "s3cret"

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
loadmodule "xlog.so"
modparam("rr", "enable_full_lr", 1)
modparam("registrar", "default_expires", 120)
modparam("registrar", "gruu_enabled", 0)
modparam("usrloc", "db_mode", 0)
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
		sl_send_reply("404", "Not here"); exit;
	}
	t_check_trans();
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("$td", "${PASSWORD}", "0")) { www_challenge("$td", "1"); exit; }
		if (!save("location")) sl_reply_error();
		exit;
	}
	if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
	record_route();
	if ($rU =~ "^9") {
		$var(number) = $rU;
		$ru = "sip:trunk@" + $td;
		if (!lookup("location")) { sl_send_reply("404", "Trunk not registered"); exit; }
		remove_hf("P-Called-Party-ID");
		append_hf("P-Called-Party-ID: <sip:$var(number)@$td>\r\n");
	} else if ($rU =~ "^2") {
		if (!lookup("location")) { sl_send_reply("404", "Not registered"); exit; }
	} else {
		$du = "sip:${GATEWAY};transport=${TRANSPORT}";
	}
	t_relay();
}
`

// StartKamailio starts a Kamailio that relays to the gateway at
// "127.0.0.1:PORT" over "udp" or "tcp".
func StartKamailio(t testing.TB, gateway, transport string) *Kamailio {
	t.Helper()
	k := &Kamailio{Port: Port(t)}
	folder := t.TempDir()
	config := write(t, folder, "kamailio.cfg", expand(kamailioConfig,
		"PORT", strconv.Itoa(k.Port), "GATEWAY", gateway, "TRANSPORT", transport, "PASSWORD", KamailioPassword))
	k.Process = Start(t, "kamailio", "-DD", "-E", "-f", config, "-Y", folder,
		"-P", folder+"/kamailio.pid", "-m", "64", "-M", "8", "-u", strconv.Itoa(os.Getuid()))
	waitListening(t, k.Process, k.Addr())
	return k
}
