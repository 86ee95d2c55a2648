function ksr_request_route()
    if KSR.is_REGISTER() then
        if KSR.auth.pv_www_authenticate("localhost", "secret", 0) < 0 then
            KSR.auth.www_challenge("localhost", 1);
            KSR.x.exit();
        end
        if KSR.registrar.save("location", 0) < 0 then
            KSR.sl.sl_reply_error();
        end
        KSR.x.exit();
    end
    KSR.sl.sl_send_reply(404, "no");
end
