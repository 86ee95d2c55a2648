"""bench/workloads/calls.cfg as a script."""
import KSR


def mod_init():
    return Bench()


class Bench:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if KSR.maxfwd.process_maxfwd(10) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.siputils.has_totag() > 0:
            if KSR.rr.loose_route() > 0:
                KSR.tm.t_relay()
                return 1
            if KSR.is_ACK():
                if KSR.tm.t_check_trans() > 0:
                    KSR.tm.t_relay()
                return 1
            KSR.sl.sl_send_reply(404, "Not here")
            return 1
        if KSR.is_CANCEL():
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
            return 1
        KSR.tm.t_check_trans()
        if KSR.is_method_in("IS"):
            KSR.rr.record_route()
        KSR.pv.sets("$du", "sip:127.0.0.1:5070")
        KSR.tm.t_relay()
        return 1

    def ksr_reply_route(self, msg):
        return 1

    # Kamailio 5.6.3 leaves an exception behind where these are missing.
    def ksr_onsend_route(self, msg):
        return 1
