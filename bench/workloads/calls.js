// bench/workloads/calls.cfg as a script.
function ksr_request_route() {
    if (KSR.maxfwd.process_maxfwd(10) < 0) {
        KSR.sl.sl_send_reply(483, "Too Many Hops");
        return;
    }
    if (KSR.siputils.has_totag() > 0) {
        if (KSR.rr.loose_route() > 0) {
            KSR.tm.t_relay();
            return;
        }
        if (KSR.is_ACK()) {
            if (KSR.tm.t_check_trans() > 0) {
                KSR.tm.t_relay();
            }
            return;
        }
        KSR.sl.sl_send_reply(404, "Not here");
        return;
    }
    if (KSR.is_CANCEL()) {
        if (KSR.tm.t_check_trans() > 0) {
            KSR.tm.t_relay();
        }
        return;
    }
    KSR.tm.t_check_trans();
    if (KSR.is_method_in("IS")) {
        KSR.rr.record_route();
    }
    KSR.pv.sets("$du", "sip:127.0.0.1:5070");
    KSR.tm.t_relay();
}
