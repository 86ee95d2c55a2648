//! The parameters of `auth`, and the service that they make.

use std::sync::Arc;

use kahea_mods_base::sl::Stateful;
use kahea_module::{Decl, Env, InitError, Str, log, log::Level};
use kahea_sip::view::Qop;

use super::{
    Auth, challenge,
    counts::{Counts, Sizes},
    nonce::{Ages, Checks, Nonces},
    service::Service,
};
use crate::crypto;

/// The parameters.
pub struct Params {
    secret: Option<Str>,
    nonce_expire: i64,
    nonce_auth_max_drift: i64,
    protect_contacts: bool,
    challenge_attr: Str,
    proxy_challenge_header: Str,
    www_challenge_header: Str,
    qop: Str,
    auth_checks_register: i64,
    auth_checks_no_dlg: i64,
    auth_checks_in_dlg: i64,
    nonce_count: bool,
    nc_array_size: i64,
    nc_array_order: i64,
    one_time_nonce: bool,
    otn_in_flight_no: i64,
    otn_in_flight_order: i64,
    nid_pool_no: i64,
    force_stateless_reply: bool,
    realm_prefix: Str,
    use_domain: bool,
    algorithm: Str,
    add_authinfo_hdr: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            secret: None,
            nonce_expire: 300,
            nonce_auth_max_drift: 3,
            protect_contacts: false,
            challenge_attr: Str::from_static("$digest_challenge"),
            proxy_challenge_header: Str::from_static("Proxy-Authenticate"),
            www_challenge_header: Str::from_static("WWW-Authenticate"),
            qop: Str::EMPTY,
            auth_checks_register: 0,
            auth_checks_no_dlg: 0,
            auth_checks_in_dlg: 0,
            nonce_count: false,
            nc_array_size: 0,
            nc_array_order: 0,
            one_time_nonce: false,
            otn_in_flight_no: 0,
            otn_in_flight_order: 0,
            nid_pool_no: 1,
            force_stateless_reply: false,
            realm_prefix: Str::EMPTY,
            use_domain: false,
            algorithm: Str::EMPTY,
            add_authinfo_hdr: false,
        }
    }
}

/// The secret of a process that was given none: it outlives reloads, so that phones need not be challenged anew.
struct OwnSecret([u8; 32]);

/// The state of nonces, handed on at a reload where the sizes are the same.
#[derive(Default)]
struct Kept(parking_lot::Mutex<Option<Arc<Counts>>>);

#[cfg(test)]
impl Params {
    /// With nonce counts, for tests.
    pub(super) fn counting() -> Params {
        Params {
            nonce_count: true,
            nc_array_order: 8,
            ..Params::default()
        }
    }
}

impl Params {
    /// # Errors
    /// A value that cannot be.
    pub(super) fn service(self, env: &mut Env<'_>) -> Result<Service, InitError> {
        let checks = Checks {
            register: self.auth_checks_register,
            outside: self.auth_checks_no_dlg,
            inside: self.auth_checks_in_dlg,
            contacts: self.protect_contacts,
        };
        let ages = Ages {
            expire: at_least(0, "nonce_expire", self.nonce_expire)?,
            drift: at_least(0, "nonce_auth_max_drift", self.nonce_auth_max_drift)?,
        };
        let algorithms = challenge::algorithms(&self.algorithm).map_err(|name| {
            InitError::new(format!("algorithm names '{name}', which is not known"))
                .help("write MD5, SHA-256, SHA-512-256 or SHA-512, or several with commas between them")
        })?;
        let qop = self.qop()?;
        let secret = self.secret.as_ref().filter(|secret| !secret.is_empty());
        let nonces = match secret {
            Some(secret) => Nonces::new(secret, checks, ages),
            None => Nonces::new(
                &env.shared.keep(|| OwnSecret(crypto::random_key())).0,
                checks,
                ages,
            ),
        };
        if qop.is_some() && !self.nonce_count {
            log::write(
                Level::Info,
                "auth",
                format_args!(
                    "qop is set, but nonce_count is not: repeated credentials are accepted until the nonce expires"
                ),
            );
        }
        Ok(Service {
            nonces,
            counts: self.counts(env)?,
            nonce_count: self.nonce_count,
            one_time: self.one_time_nonce,
            algorithms: algorithms.into_vec(),
            realm_prefix: self.realm_prefix,
            use_domain: self.use_domain,
            add_info: self.add_authinfo_hdr,
            qop,
            headers: [self.www_challenge_header, self.proxy_challenge_header],
            avp: avp_name(&self.challenge_attr),
            stateful: (!self.force_stateless_reply).then(|| Stateful::of(env)),
        })
    }

    fn qop(&self) -> Result<Option<Qop>, InitError> {
        match Qop::parse(&self.qop) {
            _ if self.qop.is_empty() => Ok(None),
            Qop::Other => Err(
                InitError::new(format!("qop is '{}', which is not known", self.qop))
                    .help("write auth or auth-int, or leave it out"),
            ),
            known => Ok(Some(known)),
        }
    }

    /// The arrays, those of the configuration before where they fit.
    fn counts(&self, env: &Env<'_>) -> Result<Option<Arc<Counts>>, InitError> {
        if !self.nonce_count && !self.one_time_nonce {
            return Ok(None);
        }
        let pools = at_least(1, "nid_pool_no", self.nid_pool_no)?.min(64).ilog2();
        let counts = order("nc_array", self.nc_array_size, self.nc_array_order, pools)?;
        let once = order(
            "otn_in_flight",
            self.otn_in_flight_no,
            self.otn_in_flight_order,
            pools,
        )?;
        let sizes = Sizes {
            counts: self.nonce_count.then_some(counts),
            once: self.one_time_nonce.then_some(once),
            pools,
        };
        let kept = env.shared.keep(Kept::default);
        let mut kept = kept.0.lock();
        let fitting = kept.take().filter(|known| known.sizes() == sizes);
        let counts = fitting.unwrap_or_else(|| Arc::new(Counts::new(sizes)));
        *kept = Some(counts.clone());
        Ok(Some(counts))
    }
}

/// The name of the AVP: SER wrote `$digest_challenge`.
fn avp_name(text: &Str) -> Str {
    let bare = text
        .strip_prefix(b"$avp(")
        .and_then(|rest| rest.strip_suffix(b")"));
    let bare = bare.or(text.strip_prefix(b"$")).unwrap_or(text);
    text.share(bare.strip_prefix(b"s:").unwrap_or(bare))
}

fn at_least(least: i64, name: &str, value: i64) -> Result<i64, InitError> {
    if value < least {
        return Err(InitError::new(format!("{name} is {value}")).help(format!("give {least} or more")));
    }
    Ok(value)
}

/// log2 of a size: the order where given, else the size rounded down, else 20. A pool has at least 64 places.
fn order(name: &str, size: i64, order: i64, pools: u32) -> Result<u32, InitError> {
    const LARGEST: i64 = 30;
    let order = match (order, size) {
        (0, 0) => 20,
        (0, size) => i64::from(at_least(1, &format!("{name}_size"), size)?.ilog2()),
        (order, _) => at_least(1, &format!("{name}_order"), order)?,
    };
    let least = pools.saturating_add(6);
    match u32::try_from(order) {
        Ok(order) if i64::from(order) <= LARGEST => Ok(order.max(least)),
        _ => Err(InitError::new(format!("{name} would have 2^{order} places"))
            .help(format!("give an order of at most {LARGEST}"))),
    }
}

pub(super) fn declare(d: &mut Decl<Auth>) {
    nonce_params(d);
    count_params(d);
    reply_params(d);
}

fn nonce_params(d: &mut Decl<Auth>) {
    d.param(
        "secret",
        |p| &mut p.secret,
        "Keys the nonces; at least 32 characters are wise. Without it a random one, which outlives reloads.",
    );
    d.param(
        "nonce_expire",
        |p| &mut p.nonce_expire,
        "Seconds that a nonce holds.",
    );
    d.param(
        "nonce_auth_max_drift",
        |p| &mut p.nonce_auth_max_drift,
        "Seconds by which a nonce may seem to come from the future.",
    );
    d.param(
        "protect_contacts",
        |p| &mut p.protect_contacts,
        "Binds the nonce of a REGISTER to its contacts.",
    );
    d.param(
        "auth_checks_register",
        |p| &mut p.auth_checks_register,
        "What of a REGISTER its nonce is bound to: 1 Request-URI, 2 Call-ID, 4 From tag, 8 source address.",
    );
    d.param(
        "auth_checks_no_dlg",
        |p| &mut p.auth_checks_no_dlg,
        "The same for requests outside of dialogs.",
    );
    d.param(
        "auth_checks_in_dlg",
        |p| &mut p.auth_checks_in_dlg,
        "The same for requests within dialogs.",
    );
}

fn count_params(d: &mut Decl<Auth>) {
    d.param(
        "nonce_count",
        |p| &mut p.nonce_count,
        "Remembers the nonce count of each nonce, which must grow; needs a qop.",
    );
    d.param(
        "nc_array_size",
        |p| &mut p.nc_array_size,
        "How many nonces have their count remembered, rounded down to a power of two; one byte each.",
    );
    d.param(
        "nc_array_order",
        |p| &mut p.nc_array_order,
        "The same as an exponent of two; goes before nc_array_size.",
    );
    d.param(
        "one_time_nonce",
        |p| &mut p.one_time_nonce,
        "Accepts each nonce once.",
    );
    d.param(
        "otn_in_flight_no",
        |p| &mut p.otn_in_flight_no,
        "How many one-time nonces are remembered, rounded down to a power of two; one bit each.",
    );
    d.param(
        "otn_in_flight_order",
        |p| &mut p.otn_in_flight_order,
        "The same as an exponent of two; goes before otn_in_flight_no.",
    );
    d.param("nid_pool_no", |p| &mut p.nid_pool_no, "Into how many pools these are divided, each for some of the workers; at most 64, rounded down to a power of two.");
}

fn reply_params(d: &mut Decl<Auth>) {
    d.param(
        "qop",
        |p| &mut p.qop,
        "The qop of challenges whose flags ask for none: auth or auth-int.",
    );
    d.param("algorithm", |p| &mut p.algorithm, "MD5, SHA-256, SHA-512-256 or SHA-512; of several with commas between them each is offered, the first liked best.");
    d.param("realm_prefix", |p| &mut p.realm_prefix, "Is taken off realms.");
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "pv_auth_check() compares domains too.",
    );
    d.param(
        "force_stateless_reply",
        |p| &mut p.force_stateless_reply,
        "Challenges go out without a transaction even where there is one.",
    );
    d.param(
        "add_authinfo_hdr",
        |p| &mut p.add_authinfo_hdr,
        "Replies to accepted requests carry Authentication-Info.",
    );
    d.param(
        "challenge_attr",
        |p| &mut p.challenge_attr,
        "The AVP for challenges that the flags of pv_www_authenticate() and its like ask for.",
    );
    d.param(
        "www_challenge_header",
        |p| &mut p.www_challenge_header,
        "The header of challenges of a registrar or server.",
    );
    d.param(
        "proxy_challenge_header",
        |p| &mut p.proxy_challenge_header,
        "The header of challenges of a proxy.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(order("x", 0, 0, 0).unwrap(), 20);
        assert_eq!(order("x", 1_000_000, 0, 0).unwrap(), 19);
        assert_eq!(order("x", 1_000_000, 22, 0).unwrap(), 22);
        assert_eq!(order("x", 8, 0, 3).unwrap(), 9, "64 places for each of 8 pools");
        assert!(order("x", 0, 31, 0).is_err() && order("x", -5, 0, 0).is_err());
    }

    #[test]
    fn names_of_avps() {
        for text in [
            "$digest_challenge",
            "digest_challenge",
            "$avp(digest_challenge)",
            "$avp(s:digest_challenge)",
        ] {
            assert_eq!(avp_name(&Str::from(text)), "digest_challenge");
        }
    }
}
