//! As much of ZooKeeper's wire format as a load driver needs. Own code on purpose: the client that
//! measures must not share a slowness (or a bug) with the server that is measured.

pub const CREATE: i32 = 1;
pub const DELETE: i32 = 2;
pub const EXISTS: i32 = 3;
pub const GET: i32 = 4;
pub const SET: i32 = 5;
pub const PING: i32 = 11;
pub const CLOSE: i32 = -11;

pub const XID_PING: i32 = -2;
pub const XID_NOTIFICATION: i32 = -1;

pub const NODE_EXISTS: i32 = -110;

/// Bytes of a reply header: xid, zxid, err.
pub const REPLY_HEADER: usize = 16;

/// Writes one frame: leaves room for the length, runs `body`, fills the length in.
pub fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_i32(out, bytes.len() as i32);
    out.extend_from_slice(bytes);
}

pub fn connect(out: &mut Vec<u8>, timeout_ms: i32, session: &Session) {
    frame(out, |out| {
        put_i32(out, 0);
        put_i64(out, session.last_zxid);
        put_i32(out, timeout_ms);
        put_i64(out, session.id);
        put_bytes(out, &session.password);
        out.push(0);
    });
}

pub fn header_only(out: &mut Vec<u8>, xid: i32, op: i32) {
    frame(out, |out| {
        put_i32(out, xid);
        put_i32(out, op);
    });
}

/// `flags`: 0 persistent, 1 ephemeral.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8], flags: i32) {
    frame(out, |out| {
        put_i32(out, xid);
        put_i32(out, CREATE);
        put_bytes(out, path);
        put_bytes(out, data);
        put_i32(out, 1);
        put_i32(out, 31);
        put_bytes(out, b"world");
        put_bytes(out, b"anyone");
        put_i32(out, flags);
    });
}

pub fn set(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8]) {
    frame(out, |out| {
        put_i32(out, xid);
        put_i32(out, SET);
        put_bytes(out, path);
        put_bytes(out, data);
        put_i32(out, -1);
    });
}

pub fn delete(out: &mut Vec<u8>, xid: i32, path: &[u8]) {
    frame(out, |out| {
        put_i32(out, xid);
        put_i32(out, DELETE);
        put_bytes(out, path);
        put_i32(out, -1);
    });
}

/// `op`: [`GET`] or [`EXISTS`].
pub fn read(out: &mut Vec<u8>, xid: i32, op: i32, path: &[u8], watch: bool) {
    frame(out, |out| {
        put_i32(out, xid);
        put_i32(out, op);
        put_bytes(out, path);
        out.push(u8::from(watch));
    });
}

pub fn get_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub fn get_i64(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// What a client must remember to take its session to another server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    pub id: i64,
    pub password: [u8; 16],
    pub last_zxid: i64,
    pub timeout_ms: i32,
}

impl Session {
    /// Reads a `ConnectResponse` payload; `None` when the session is refused as expired.
    pub fn from_connect_response(payload: &[u8]) -> Option<Session> {
        if payload.len() < 36 || get_i32(payload, 4) <= 0 {
            return None;
        }
        let password = payload[20..36].try_into().expect("sixteen bytes");
        Some(Session {
            id: get_i64(payload, 8),
            password,
            last_zxid: 0,
            timeout_ms: get_i32(payload, 4),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_frame_is_as_zookeeper_reads_it() {
        let mut out = Vec::new();
        create(&mut out, 7, b"/a", b"xy", 1);
        let expected = [
            &[0, 0, 0, 51, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2][..],
            b"/a",
            &[0, 0, 0, 2],
            b"xy",
            &[0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 5],
            b"world",
            &[0, 0, 0, 6],
            b"anyone",
            &[0, 0, 0, 1],
        ]
        .concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_zero_timeout_is_an_expired_session() {
        assert!(Session::from_connect_response(&[0; 37]).is_none());
    }
}
