//! `ephemeralOwner` as it is stored: 0, a session, or the mark of a container or a TTL
//! (`EphemeralType`).

use crate::tree::node::Kind;

const CONTAINER: i64 = i64::MIN;
const TTL: i64 = 0xff00_0000_0000_0000_u64 as i64;
/// Below the mark: two bytes for kinds to come, which are 0 for a TTL, then milliseconds.
const TTL_MS: i64 = 0xff_ffff_ffff;

/// A session of a server 255 begins like a TTL, but has the time where a TTL has two zeroes.
pub fn decode(owner: i64) -> Kind {
    match owner {
        0 => Kind::Persistent,
        CONTAINER => Kind::Container,
        _ if owner & !TTL_MS == TTL => Kind::Ttl(owner & TTL_MS),
        session => Kind::Ephemeral(session),
    }
}

pub fn encode(kind: Kind) -> i64 {
    match kind {
        Kind::Persistent => 0,
        Kind::Ephemeral(session) => session,
        Kind::Container => CONTAINER,
        Kind::Ttl(ms) => TTL | ms & TTL_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_sessions() {
        for (owner, kind) in [
            (0, Kind::Persistent),
            (i64::MIN, Kind::Container),
            (0xff00_0000_0000_2710_u64 as i64, Kind::Ttl(10_000)),
            (0x0100_0000_0000_0001, Kind::Ephemeral(0x0100_0000_0000_0001)),
            (0xff01_9a1b_2c3d_0000_u64 as i64, Kind::Ephemeral(0xff01_9a1b_2c3d_0000_u64 as i64)),
        ] {
            assert_eq!((decode(owner), encode(kind)), (kind, owner));
        }
    }
}
