//! What a write may ask for at most.
//!
//! The server that takes a write from its client looks at it once, before it goes into the log.
//! Apply itself answers whatever stands in the log, alike on every server and in every release: so
//! a bound here may change without making two servers differ.

use super::{Identity, State};
use crate::wire::acl::AclList;
use crate::wire::code::Code;
use crate::wire::request::Request;

/// Entries of one list, `auth` counted as what it stands for. Each check of a permission looks at
/// all of them.
pub const ACL_ENTRIES_MAX: usize = 256;
/// Bytes of one list.
pub const ACL_BYTES_MAX: usize = 32 << 10;
/// Bytes of all different lists together, a list that many znodes carry counted once.
pub const ACL_BYTES_IN_ALL_MAX: usize = 128 << 20;
/// Operations of one multi: they are applied without a break.
pub const MULTI_OPS_MAX: usize = 10_000;

impl State {
    /// The error for a write that is over a bound.
    pub fn admits(&self, identity: Identity<'_>, request: &Request<'_>) -> Result<(), Code> {
        match request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::CreateTtl(create) => self.admits_list(identity, create.acl),
            Request::SetAcl(set) => self.admits_list(identity, set.acl),
            Request::Multi(multi) if multi.len() > MULTI_OPS_MAX => Err(Code::BadArguments),
            // No part has a list that is not admitted anyway: they need not be decoded again.
            Request::Multi(multi) if multi.is_plain() => Ok(()),
            Request::Multi(multi) => {
                multi.iter().try_for_each(|part| self.admits(identity, &part.request))
            }
            _ => Ok(()),
        }
    }

    fn admits_list(&self, identity: Identity<'_>, list: AclList<'_>) -> Result<(), Code> {
        if list == AclList::OPEN {
            return Ok(());
        }
        // The length first: nobody makes this server walk over a million entries.
        if list.len() > ACL_ENTRIES_MAX || list.entry_bytes().len() > ACL_BYTES_MAX {
            return Err(Code::InvalidAcl);
        }
        let expanded = list.iter().filter(|acl| acl.scheme == "auth").count();
        let (mut entries, mut bytes) = (list.len(), list.entry_bytes().len());
        if expanded > 0 {
            for (scheme, id) in identity.iter().filter(|(scheme, _)| *scheme != "ip") {
                entries += expanded;
                bytes += expanded * (12 + scheme.len() + id.len());
            }
        }
        if entries > ACL_ENTRIES_MAX || bytes > ACL_BYTES_MAX {
            return Err(Code::InvalidAcl);
        }
        let acls = &self.tree.acls;
        if acls.total_bytes() + bytes > ACL_BYTES_IN_ALL_MAX {
            let mut encoded = Vec::new();
            list.encode(&mut encoded);
            if !acls.knows(&encoded) {
                return Err(Code::InvalidAcl);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IdentityBuf;
    use crate::wire::acl::{Acl, put_acls};
    use crate::wire::jute::Reader;
    use crate::wire::request::{Create, create_mode};

    fn admitted(state: &State, identity: &IdentityBuf, acls: &[Acl<'_>]) -> Result<(), Code> {
        let mut bytes = Vec::new();
        put_acls(&mut bytes, acls.iter().copied());
        let acl = AclList::decode(&mut Reader::new(&bytes)).unwrap();
        let flags = create_mode::PERSISTENT;
        let create = Create { path: "/a", data: None, acl, flags, ttl_ms: 0 };
        state.admits(identity.as_identity(), &Request::Create(create))
    }

    #[test]
    fn a_list_is_bounded_in_entries_and_bytes_with_what_auth_stands_for() {
        let state = State::new();
        let mut identity = IdentityBuf::new([10, 0, 0, 1].into());
        let entry = |perms| Acl { perms, scheme: "digest", id: "a:b" };
        let many: Vec<_> = (0..=ACL_ENTRIES_MAX as i32).map(entry).collect();
        assert_eq!(admitted(&state, &identity, &many[1..]), Ok(()));
        assert_eq!(admitted(&state, &identity, &many), Err(Code::InvalidAcl));
        let id = format!("a:{}", "b".repeat(ACL_BYTES_MAX));
        let long = Acl { perms: 1, scheme: "digest", id: &id };
        assert_eq!(admitted(&state, &identity, &[long]), Err(Code::InvalidAcl));
        let auth: Vec<_> = (1..=100).map(|perms| Acl { perms, scheme: "auth", id: "" }).collect();
        assert_eq!(admitted(&state, &identity, &auth), Ok(()));
        identity.add("digest", "one:x");
        assert_eq!(admitted(&state, &identity, &auth), Ok(()));
        identity.add("digest", "two:x");
        assert_eq!(admitted(&state, &identity, &auth), Err(Code::InvalidAcl));
    }
}
