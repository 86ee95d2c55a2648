function ksr_request_route()
    if KSR.maxfwd.process_maxfwd(10) < 0 then
        KSR.sl.sl_send_reply(483, "Too Many Hops");
        KSR.x.exit();
    end
    if KSR.siputils.has_totag() > 0 then
        if KSR.rr.loose_route() > 0 then
            KSR.tm.t_relay();
            KSR.x.exit();
        end
        if KSR.is_ACK() then
            if KSR.tm.t_check_trans() > 0 then
                KSR.tm.t_relay();
            end
            KSR.x.exit();
        end
        KSR.sl.sl_send_reply(404, "Not here");
        KSR.x.exit();
    end
    if KSR.is_CANCEL() then
        if KSR.tm.t_check_trans() > 0 then
            KSR.tm.t_relay();
        end
        KSR.x.exit();
    end
    KSR.tm.t_check_trans();
    if KSR.is_method_in("IS") then
        KSR.rr.record_route();
    end
    KSR.setdsturi("sip:127.0.0.1:5070");
    KSR.tm.t_relay();
end
