//! Reading and writing on sockets between members, without blocking.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use super::peer_auth::{self, Nonce};

/// What one read has brought.
pub(super) enum Read {
    Some,
    /// Bytes, and no more for now.
    Last,
    Nothing,
    End,
}

pub(super) fn fresh_nonce() -> Nonce {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}

pub(super) fn read_once(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    into: &mut Vec<u8>,
) -> io::Result<Read> {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Ok(Read::End),
            Ok(n) => {
                into.extend_from_slice(&buffer[..n]);
                // A short read has emptied the socket: the next bytes bring a new event.
                Ok(if n < buffer.len() { Read::Last } else { Read::Some })
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
    }
}

/// Reads until there is no more for now; `false` at the end of the stream.
pub(super) fn read_some(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    into: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        match read_once(stream, buffer, into)? {
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
pub(super) fn write_whole(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(frame);
    let written = stream.write(&bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(io::Error::other("no room for a handshake")) }
}

/// Takes a frame of the handshake off the front.
pub(super) fn take_frame(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > peer_auth::FRAME_BYTES_MAX {
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
