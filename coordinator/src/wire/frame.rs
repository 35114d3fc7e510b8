//! Frames: an `i32` length and that many bytes, both ways. Four-letter words are told from
//! frames by the very first four bytes of a connection.

use super::jute::put_int;
use super::opcode::OpCode;

/// `jute.maxbuffer` when nobody sets it.
pub const LENGTH_MAX_DEFAULT: usize = 0xf_ffff;

/// setWatches of old clients is not split and may pass the limit: refusing it closes the
/// connection, and the client comes back with the same frame for ever (ZOOKEEPER-706).
pub const SET_WATCHES_FACTOR: usize = 8;

/// It is no longer than this all the same, unless `jute.maxbuffer` is.
const SET_WATCHES_BYTES_MAX: usize = 64 << 20;

/// `ServerCnxn`'s commands. As lengths they are all far above any limit.
pub const WORDS: [&[u8; 4]; 20] = [
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"icfg", b"isro",
    b"mntr", b"orst", b"ruok", b"srst", b"srvr", b"stat", b"stmk", b"wchc", b"wchp", b"wchs",
];

/// What stands at the front of the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame; it took `4 + payload.len()` bytes.
    Frame(&'a [u8]),
    /// At least this many bytes more before asking again.
    NeedMore(usize),
    /// Not a frame: close the connection. The four bytes are for the log, where `GET ` or a TLS
    /// hello tells more than a number.
    BadLength([u8; 4]),
    /// One of [`WORDS`].
    Word([u8; 4]),
}

/// `first`: nothing has been taken from this connection yet.
pub fn next(bytes: &[u8], first: bool, length_max: usize) -> Next<'_> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
        return Next::NeedMore(4 - bytes.len());
    };
    if first && is_word(*prefix) {
        return Next::Word(*prefix);
    }
    let Ok(length) = usize::try_from(i32::from_be_bytes(*prefix)) else {
        return Next::BadLength(*prefix);
    };
    if length > length_max {
        let longest = (length_max.saturating_mul(SET_WATCHES_FACTOR))
            .min(length_max.max(SET_WATCHES_BYTES_MAX));
        if first || length > longest {
            return Next::BadLength(*prefix);
        }
        match rest.get(4..8) {
            None => return Next::NeedMore(8 - rest.len()),
            Some(op) if !is_set_watches(op) => return Next::BadLength(*prefix),
            Some(_) => {}
        }
    }
    match rest.get(..length) {
        Some(payload) => Next::Frame(payload),
        None => Next::NeedMore(length - rest.len()),
    }
}

pub fn is_word(prefix: [u8; 4]) -> bool {
    // Lower case letters only: spares every frame the search.
    prefix[0].is_ascii_lowercase() && WORDS.contains(&&prefix)
}

fn is_set_watches(op: &[u8]) -> bool {
    let [a, b, c, d] = *op else { return false };
    let op = i32::from_be_bytes([a, b, c, d]);
    op == OpCode::SetWatches as i32 || op == OpCode::SetWatches2 as i32
}

/// Starts a frame whose length is not known yet; give the result to [`end`].
pub fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    put_int(out, 0);
    start
}

/// Writes the length of the frame begun at `start`.
pub fn end(out: &mut [u8], start: usize) {
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
