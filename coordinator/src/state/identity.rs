//! Who asks: the (scheme, id) pairs a connection has proved.
//!
//! Compact bytes, because they travel with every write into the log: per pair a byte of length,
//! the scheme, two bytes of length, the id.

use std::net::IpAddr;

/// All pairs of one connection together, some hundred users: they are repeated in every write it
/// makes, and looked at in each check of a permission.
const IDENTITY_BYTES_MAX: usize = 4 << 10;

/// Borrowed pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    bytes: &'a [u8],
}

impl<'a> Identity<'a> {
    /// What [`Identity::bytes`] gave. Damaged pairs are left out.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Pairs of scheme and id, in the order in which they were proved.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (scheme_len, tail) = rest.split_first()?;
            let (scheme, tail) = tail.split_at_checked(usize::from(*scheme_len))?;
            let (id_len, tail) = tail.split_first_chunk::<2>()?;
            let (id, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*id_len)))?;
            rest = tail;
            Some((std::str::from_utf8(scheme).ok()?, std::str::from_utf8(id).ok()?))
        })
    }

    /// The super user passes every check.
    pub fn is_super(&self) -> bool {
        self.iter().any(|(scheme, _)| scheme == "super")
    }
}

/// The pairs as a connection owns them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityBuf {
    bytes: Vec<u8>,
}

impl IdentityBuf {
    /// Every connection holds its peer address.
    pub fn new(peer: IpAddr) -> Self {
        let mut identity = Self::default();
        identity.add("ip", &peer.to_canonical().to_string());
        identity
    }

    /// The server itself: passes every check.
    pub fn superuser() -> Self {
        let mut identity = Self::default();
        identity.add("super", "");
        identity
    }

    /// Adds a pair unless it is there. False when it is too long to be carried with each write.
    pub fn add(&mut self, scheme: &str, id: &str) -> bool {
        if self.as_identity().iter().any(|pair| pair == (scheme, id)) {
            return true;
        }
        let (Ok(scheme_len), Ok(id_len)) = (u8::try_from(scheme.len()), u16::try_from(id.len()))
        else {
            return false;
        };
        if self.bytes.len() + 3 + scheme.len() + id.len() > IDENTITY_BYTES_MAX {
            return false;
        }
        self.bytes.push(scheme_len);
        self.bytes.extend_from_slice(scheme.as_bytes());
        self.bytes.extend_from_slice(&id_len.to_le_bytes());
        self.bytes.extend_from_slice(id.as_bytes());
        true
    }

    pub fn as_identity(&self) -> Identity<'_> {
        Identity { bytes: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_order_and_come_once() {
        let mut identity = IdentityBuf::new("::ffff:10.0.0.1".parse().unwrap());
        assert!(identity.add("digest", "a:b") && identity.add("digest", "a:b"));
        let pairs: Vec<_> = identity.as_identity().iter().collect();
        assert_eq!(pairs, [("ip", "10.0.0.1"), ("digest", "a:b")]);
        assert!(!identity.as_identity().is_super() && identity.add("super", ""));
        assert!(identity.as_identity().is_super());
        assert!(!identity.add("digest", &"x".repeat(70_000)));
        assert!(!identity.add("digest", &"x".repeat(5_000)));
        assert_eq!(Identity::from_bytes(&[200, 1]).iter().count(), 0);
    }
}
