//! The frames of the proof between members, without blocking.

use std::io;

use super::channel::{Channel, Read};
use super::handshake::HANDSHAKE_RECORD;
use super::peer_auth::{self, Nonce};

pub(super) fn fresh_nonce() -> Nonce {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}

/// Reads until there is no more for now; `false` at the end of the stream.
pub(super) fn read_some(
    channel: &mut Channel,
    buffer: &mut [u8],
    into: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        match channel.read(buffer, into)? {
            Read::Some | Read::Last if into.len() > 4 * peer_auth::FRAME_BYTES_MAX => {
                return Err(io::Error::other("it says too much before it has proved who it is"));
            }
            Read::Some => {}
            Read::Last | Read::Nothing => return Ok(true),
            Read::End => return Ok(false),
        }
    }
}

/// A frame of the handshake; small enough for any socket's buffer.
pub(super) fn write_whole(channel: &mut Channel, frame: &[u8]) -> io::Result<()> {
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(frame);
    let written = channel.write(&bytes)?;
    if written == bytes.len() && !channel.has_output() {
        Ok(())
    } else {
        Err(io::Error::other("no room for a handshake"))
    }
}

/// Takes a frame of the handshake off the front.
pub(super) fn take_frame(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > peer_auth::FRAME_BYTES_MAX {
        if input.starts_with(&[HANDSHAKE_RECORD, 3]) {
            return Err("it speaks TLS, which this server does not: compare `sslQuorum` and \
                        `portUnification`"
                .to_owned());
        }
        let start = input[..4].escape_ascii().to_string();
        return Err(format!("it starts with `{start}`, which no coordinator says"));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let frame = frame.to_vec();
    input.drain(..4 + length);
    Ok(Some(frame))
}

/// Removes what was dealt with; gives back memory that a burst has taken.
pub(super) fn drain(buffer: &mut Vec<u8>, taken: usize) {
    if taken >= buffer.len() {
        buffer.clear();
        buffer.shrink_to(1 << 20);
    } else if taken > 0 {
        buffer.drain(..taken);
    }
}
