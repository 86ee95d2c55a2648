// bench/workloads/register.cfg as a script.
function ksr_request_route() {
    if (KSR.is_REGISTER()) {
        if (KSR.auth.pv_www_authenticate("localhost", "secret", 0) < 0) {
            KSR.auth.www_challenge("localhost", 1);
            return;
        }
        if (KSR.registrar.save("location", 0) < 0) {
            KSR.sl.sl_reply_error();
        }
        return;
    }
    KSR.sl.sl_send_reply(404, "no");
}
