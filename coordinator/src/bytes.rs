//! Bytes of our own formats (the log, snapshots, what servers say to each other; all little-endian),
//! and bytes as people read them.

use std::fmt::Write as _;

/// Takes `N` bytes off the front; `None` when there are fewer, with nothing taken.
pub(crate) fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}
