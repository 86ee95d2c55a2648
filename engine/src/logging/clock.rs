//! The time of day for syslog lines.
#![expect(unsafe_code, reason = "std has no time zones; localtime_r is the one call")]

use std::{
    mem::MaybeUninit,
    time::{SystemTime, UNIX_EPOCH},
};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Local time as RFC 3164 section 4.1.2 writes it: `Nov  1 09:05:00`.
pub fn stamp(time: SystemTime) -> String {
    let unix = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let unix = libc::time_t::try_from(unix).unwrap_or(libc::time_t::MAX);
    let mut out = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; all-zero bytes are a valid `tm`, so it is initialised even where
    // the conversion fails for a year out of range.
    let tm = unsafe {
        libc::localtime_r(&raw const unix, out.as_mut_ptr());
        out.assume_init()
    };
    let month = usize::try_from(tm.tm_mon)
        .ok()
        .and_then(|at| MONTHS.get(at))
        .unwrap_or(&"Jan");
    format!(
        "{month} {:2} {:02}:{:02}:{:02}",
        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_fifteen_characters() {
        let text = stamp(UNIX_EPOCH);
        assert_eq!(text.len(), 15, "{text}");
        assert!(
            text.starts_with("Jan  1 ") || text.starts_with("Dec 31 "),
            "{text}"
        );
    }
}
