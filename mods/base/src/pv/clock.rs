//! Local time and `strftime`, as the C library has them.
#![allow(unsafe_code)] // reason: std has no time zones and no strftime; the calls below are all.

use std::{ffi::CString, mem::MaybeUninit};

/// Broken-down time.
#[derive(Clone, Copy)]
pub struct Calendar(libc::tm);

impl Calendar {
    /// In the server's time zone.
    pub fn local(unix: i64) -> Calendar {
        Calendar::with(unix, libc::localtime_r)
    }

    /// In UTC.
    pub fn utc(unix: i64) -> Calendar {
        Calendar::with(unix, libc::gmtime_r)
    }

    fn with(
        unix: i64,
        convert: unsafe extern "C" fn(*const libc::time_t, *mut libc::tm) -> *mut libc::tm,
    ) -> Calendar {
        let mut out = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call; all-zero bytes are a valid `tm`, so it is initialised even
        // where the conversion fails for a year out of range.
        Calendar(unsafe {
            convert(&raw const unix, out.as_mut_ptr());
            out.assume_init()
        })
    }

    /// Seconds, 0 to 60.
    pub fn second(&self) -> i64 {
        self.0.tm_sec.into()
    }

    /// Minutes, 0 to 59.
    pub fn minute(&self) -> i64 {
        self.0.tm_min.into()
    }

    /// Hours, 0 to 23.
    pub fn hour(&self) -> i64 {
        self.0.tm_hour.into()
    }

    /// Day of the month, from 1.
    pub fn day(&self) -> i64 {
        self.0.tm_mday.into()
    }

    /// Month, from 1.
    pub fn month(&self) -> i64 {
        i64::from(self.0.tm_mon).saturating_add(1)
    }

    /// The year.
    pub fn year(&self) -> i64 {
        i64::from(self.0.tm_year).saturating_add(1900)
    }

    /// Day of the week, Sunday is 1.
    pub fn weekday(&self) -> i64 {
        i64::from(self.0.tm_wday).saturating_add(1)
    }

    /// Day of the year, from 1.
    pub fn year_day(&self) -> i64 {
        i64::from(self.0.tm_yday).saturating_add(1)
    }

    /// Daylight saving: 1 in force, 0 not, below 0 unknown.
    pub fn is_dst(&self) -> i64 {
        self.0.tm_isdst.into()
    }

    /// As `strftime(3)`; empty where the result has more than 1,023 bytes or the format holds a NUL.
    pub fn format(&self, format: &str) -> String {
        let Ok(format) = CString::new(format) else {
            return String::new();
        };
        let mut out = [0u8; 1024];
        // SAFETY: the buffer has the stated size, the format ends with NUL, and the `tm` is initialised.
        let length = unsafe {
            libc::strftime(
                out.as_mut_ptr().cast(),
                out.len(),
                format.as_ptr(),
                &raw const self.0,
            )
        };
        String::from_utf8_lossy(out.get(..length).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_moment_has_its_parts() {
        let at = Calendar::utc(1_767_225_600);
        assert_eq!(
            (at.year(), at.month(), at.day(), at.weekday(), at.year_day()),
            (2026, 1, 1, 5, 1)
        );
        assert_eq!(at.format("%Y-%m-%d %H:%M:%S"), "2026-01-01 00:00:00");
        assert_eq!(at.format("\0"), "");
        assert_eq!(Calendar::utc(i64::MAX).format(""), "");
    }
}
