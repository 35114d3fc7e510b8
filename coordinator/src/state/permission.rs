//! Who may do what: checking lists, and making them fit to be stored.

use super::effects::Readers;
use super::identity::Identity;
use crate::tree::acl::{AclId, AclTable};
use crate::wire::acl::{Acl, AclList, perms};
use crate::wire::code::Code;
use crate::wire::jute::Reader;
use std::net::IpAddr;

/// `ZooKeeperServer.checkACL`: one of the permissions is enough.
pub(super) fn check(
    acls: &AclTable,
    id: AclId,
    perms: i32,
    identity: Identity<'_>,
) -> Result<(), Code> {
    let allowed = acls.anyone(id) & perms != 0
        || identity.is_super()
        || acls.list(id).filter(|acl| acl.perms & perms != 0).any(|acl| matches(acl, identity));
    if allowed { Ok(()) } else { Err(Code::NoAuth) }
}

/// Who may read a znode, for the events that it leaves.
pub(super) fn readers(acls: &AclTable, id: AclId) -> Readers<'_> {
    (acls.anyone(id) & perms::READ == 0).then(|| acls.bytes(id))
}

/// Whether an event is for them (`ServerCnxn.process` since 3.8.4 and 3.9.2).
pub fn may_hear(readers: Readers<'_>, identity: Identity<'_>) -> bool {
    let Some(bytes) = readers else { return true };
    let list = AclList::decode(&mut Reader::new(bytes)).unwrap_or(AclList::EMPTY);
    identity.is_super()
        || list.iter().any(|acl| acl.perms & perms::READ != 0 && matches(acl, identity))
}

fn matches(acl: Acl<'_>, identity: Identity<'_>) -> bool {
    let mut ids = identity.iter().filter(|(scheme, _)| *scheme == acl.scheme);
    match acl.scheme {
        "ip" => ids.any(|(_, address)| in_network(address, acl.id)),
        "digest" => ids.any(|(_, id)| id == acl.id),
        _ => false,
    }
}

/// `address` or `address/bits`; bits count from the left.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(bits_max);
    (bits <= bits_max).then_some((address, bits))
}

fn in_network(address: &str, network_text: &str) -> bool {
    let (Ok(address), Some((base, bits))) = (address.parse(), network(network_text)) else {
        return false;
    };
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// A list that may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// world:anyone:cdrwa, as most are.
    Open,
    /// Written to the buffer that was given.
    Written,
}

/// `PrepRequestProcessor.fixupACL`: removes duplicates, expands `auth`, refuses what no provider
/// knows. Writes `vector<ACL>` to `out`.
pub(super) fn fix(
    list: AclList<'_>,
    identity: Identity<'_>,
    out: &mut Vec<u8>,
) -> Result<Fit, Code> {
    if list == AclList::OPEN {
        return Ok(Fit::Open);
    }
    out.clear();
    out.extend_from_slice(&[0; 4]);
    let mut count: u32 = 0;
    for (at, acl) in list.iter().enumerate() {
        if list.iter().take(at).any(|before| before == acl) {
            continue;
        }
        match acl.scheme {
            "world" if acl.id == "anyone" => {}
            "auth" => {
                let before = count;
                for (scheme, id) in identity.iter().filter(|(scheme, _)| *scheme == "digest") {
                    Acl { perms: acl.perms, scheme, id }.encode(out);
                    count += 1;
                }
                if count == before {
                    return Err(Code::InvalidAcl);
                }
                continue;
            }
            "digest" if is_digest_id(acl.id) => {}
            "ip" if network(acl.id).is_some() => {}
            _ => return Err(Code::InvalidAcl),
        }
        acl.encode(out);
        count += 1;
    }
    if count == 0 {
        return Err(Code::InvalidAcl);
    }
    out[..4].copy_from_slice(&count.to_be_bytes());
    Ok(Fit::Written)
}

/// `DigestAuthenticationProvider.isValid`: two parts by Java's `split`, which drops empty parts
/// at the end.
fn is_digest_id(id: &str) -> bool {
    let trimmed = id.trim_end_matches(':');
    trimmed.split(':').count() == 2
}

/// What a caller without ADMIN sees instead of a password hash.
pub(super) fn masked<'i>(acl: Acl<'i>, buffer: &'i mut String) -> Acl<'i> {
    let Some((user, _)) = acl.id.split_once(':').filter(|_| acl.scheme == "digest") else {
        return acl;
    };
    buffer.clear();
    buffer.push_str(user);
    buffer.push_str(":x");
    Acl { id: buffer, ..acl }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (address, acl, inside) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.0/33", false),
            ("fe80::1", "fe80::/10", true),
            ("fe80::1", "::/0", true),
            ("fe80::1", "10.0.0.0/8", false),
        ] {
            assert_eq!(in_network(address, acl), inside, "{address} in {acl}");
        }
    }

    #[test]
    fn digest_ids_are_split_as_java_does() {
        for (id, valid) in [
            ("a:b", true),
            (":b", true),
            ("a:b:", true),
            ("a", false),
            ("a:", false),
            ("a:b:c", false),
        ] {
            assert_eq!(is_digest_id(id), valid, "{id}");
        }
    }
}
