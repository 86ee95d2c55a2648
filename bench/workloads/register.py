"""bench/workloads/register.cfg as a script."""
import KSR


def mod_init():
    return Bench()


class Bench:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if KSR.is_REGISTER():
            if KSR.auth.pv_www_authenticate("localhost", "secret", 0) < 0:
                KSR.auth.www_challenge("localhost", 1)
                return 1
            if KSR.registrar.save("location", 0) < 0:
                KSR.sl.sl_reply_error()
            return 1
        KSR.sl.sl_send_reply(404, "no")
        return 1

    # Kamailio 5.6.3 leaves an exception behind where this is missing.
    def ksr_onsend_route(self, msg):
        return 1
