//! The C library's `regcomp`/`regexec`: the only engine here whose matches are POSIX leftmost-longest.
#![allow(unsafe_code)] // reason: the C library's regular expressions have no safe binding; the three calls below are all.

use std::{ffi::CString, mem::MaybeUninit};

use super::RegexError;

/// A compiled `regex_t`.
pub(super) struct Posix {
    compiled: Box<libc::regex_t>,
}

// SAFETY: glibc's regexec takes the regex_t as const and guards its lazily built automaton with a lock of its own.
unsafe impl Send for Posix {}
// SAFETY: as above.
unsafe impl Sync for Posix {}

impl Posix {
    pub(super) fn new(pattern: &[u8], ignore_case: bool, newline: bool) -> Result<Posix, RegexError> {
        let c_pattern = CString::new(pattern).map_err(|_| RegexError::new(pattern, "it holds a NUL byte"))?;
        let mut flags = libc::REG_EXTENDED;
        if ignore_case {
            flags |= libc::REG_ICASE;
        }
        if newline {
            flags |= libc::REG_NEWLINE;
        }
        let mut compiled: Box<MaybeUninit<libc::regex_t>> = Box::new(MaybeUninit::zeroed());
        // SAFETY: both pointers are valid for the call; regcomp initialises the regex_t when it returns 0.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), c_pattern.as_ptr(), flags) };
        if code != 0 {
            return Err(RegexError::new(pattern, &message(code, compiled.as_ptr())));
        }
        // SAFETY: regcomp returned 0, so the value is initialised; regex_t may be moved (it holds heap pointers only),
        // and the box keeps its address anyway.
        let compiled = unsafe { Box::from_raw(Box::into_raw(compiled).cast::<libc::regex_t>()) };
        Ok(Posix { compiled })
    }

    /// Fills `groups` with ranges of the match at or after `from`; group 0 is the whole.
    pub(super) fn exec(&self, text: &[u8], from: usize, groups: &mut [Option<(usize, usize)>]) -> bool {
        let mut found = [libc::regmatch_t { rm_so: -1, rm_eo: -1 }; super::GROUPS];
        let (Ok(start), Ok(end)) = (
            libc::regoff_t::try_from(from),
            libc::regoff_t::try_from(text.len()),
        ) else {
            return false;
        };
        found[0] = libc::regmatch_t {
            rm_so: start,
            rm_eo: end,
        };
        let flags = REG_STARTEND | if from > 0 { libc::REG_NOTBOL } else { 0 };
        // SAFETY: REG_STARTEND makes regexec read text[start..end] only, which lies within the slice (`from` beyond the
        // end gives start > end, refused above the call by the caller's loop), and `found` has GROUPS places.
        let code = unsafe {
            libc::regexec(
                &*self.compiled,
                text.as_ptr().cast(),
                found.len(),
                found.as_mut_ptr(),
                flags,
            )
        };
        if code != 0 {
            return false;
        }
        for (group, place) in groups.iter_mut().zip(found) {
            *group = match (usize::try_from(place.rm_so), usize::try_from(place.rm_eo)) {
                (Ok(start), Ok(end)) => Some((start, end)),
                _ => None,
            };
        }
        true
    }
}

/// glibc's extension, not in the libc crate.
const REG_STARTEND: libc::c_int = 1 << 2;

fn message(code: libc::c_int, compiled: *const libc::regex_t) -> String {
    let mut text = [0u8; 128];
    // SAFETY: the buffer is valid for its length; the regex_t is the one regcomp was given.
    let len = unsafe { libc::regerror(code, compiled, text.as_mut_ptr().cast(), text.len()) };
    let text = text.get(..len.saturating_sub(1)).unwrap_or(&text);
    String::from_utf8_lossy(text).into_owned()
}

impl Drop for Posix {
    fn drop(&mut self) {
        // SAFETY: initialised by regcomp, freed once.
        unsafe { libc::regfree(&mut *self.compiled) };
    }
}
