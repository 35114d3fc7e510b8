//! Znodes that not everybody may read or write, and who is who.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coordinator::wire::acl::{Acl, perms, put_acls};
use sha1::{Digest as _, Sha1};

pub const GUARDED: &str = "/guarded";
/// Ann's alone.
pub const ANNS: &str = "/guarded/ann";
/// Bob's, for everybody to read.
pub const BOBS: &str = "/guarded/bob";
/// Ann's; she lets the others read it, or not.
pub const FLIPS: &str = "/guarded/flips";
/// Ann alone creates and deletes here.
pub const YARD: &str = "/yard";
pub const YARD_TOGGLE: &str = "/yard/toggle";

/// What the connections of a client prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Nobody,
    Ann,
    Bob,
}

impl User {
    pub fn of(client: usize) -> User {
        [User::Ann, User::Nobody, User::Bob][client % 3]
    }

    pub fn credentials(self) -> Option<&'static str> {
        match self {
            User::Nobody => None,
            User::Ann => Some("ann:of-green-gables"),
            User::Bob => Some("bob:the-builder"),
        }
    }

    /// As `DigestAuthenticationProvider` stores it.
    fn id(self) -> String {
        let credentials = self.credentials().unwrap_or_default();
        let name = credentials.split(':').next().unwrap_or_default();
        format!("{name}:{}", BASE64_STANDARD.encode(Sha1::digest(credentials)))
    }

    /// `None`: sometimes.
    pub fn may_read(self, path: &str) -> Option<bool> {
        match path {
            ANNS => Some(self == User::Ann),
            FLIPS if self != User::Ann => None,
            _ => Some(true),
        }
    }

    pub fn may_write(self, path: &str) -> bool {
        match path {
            ANNS | FLIPS | YARD_TOGGLE => self == User::Ann,
            BOBS => self == User::Bob,
            _ => true,
        }
    }

    /// No event of these is for the user.
    pub fn hidden(self) -> &'static [&'static str] {
        if self == User::Ann { &[] } else { &[ANNS] }
    }
}

/// The list of a znode, encoded.
pub fn list(path: &str) -> Vec<u8> {
    match path {
        ANNS => owned(User::Ann, false),
        FLIPS | YARD => owned(User::Ann, true),
        BOBS => owned(User::Bob, true),
        _ => encoded(&[Acl::OPEN]),
    }
}

/// All for one, and nothing or reading for the others.
pub fn owned(owner: User, open: bool) -> Vec<u8> {
    let id = owner.id();
    let all = Acl { perms: perms::ALL, scheme: "digest", id: &id };
    let world = Acl { perms: perms::READ, ..Acl::OPEN };
    if open { encoded(&[all, world]) } else { encoded(&[all]) }
}

fn encoded(acls: &[Acl<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_acls(&mut out, acls.iter().copied());
    out
}
