//! Who may do what: checking lists, and making them fit to be stored.

use super::cluster::PRINCIPALS;
use super::effects::Readers;
use super::identity::Identity;
use super::principal::{is_distinguished_name, is_kerberos_name};
use crate::tree::acl::{AclId, AclTable};
use crate::tree::index;
use crate::wire::acl::{Acl, AclList, perms};
use crate::wire::code::Code;
use crate::wire::jute::Reader;
use hashbrown::HashSet;
use std::net::IpAddr;

/// Up to so many entries are compared with each other; more are hashed.
const COMPARED: usize = 8;

/// `ZooKeeperServer.checkACL`: one of the permissions is enough.
pub(super) fn check(
    acls: &AclTable,
    id: AclId,
    perms: i32,
    identity: Identity<'_>,
) -> Result<(), Code> {
    let allowed = acls.anyone(id) & perms != 0
        || identity.is_super()
        || grants(acls.list(id).filter(|acl| acl.perms & perms != 0), identity);
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
    identity.is_super() || grants(list.iter().filter(|acl| acl.perms & perms::READ != 0), identity)
}

/// Whether one of the entries is about somebody that the connection has proved to be. Costs as much
/// as there are entries and proofs together, not as their product.
fn grants<'a>(mut entries: impl Iterator<Item = Acl<'a>>, identity: Identity<'_>) -> bool {
    let of = |wanted: &'static str| {
        identity.iter().filter(move |(scheme, _)| *scheme == wanted).map(|(_, id)| id)
    };
    let many = of("digest").count() > COMPARED;
    let mut hashed: Option<HashSet<&str, _>> = None;
    let mut addresses = None;
    entries.any(|acl| match acl.scheme {
        "ip" => {
            let addresses: &mut Vec<IpAddr> =
                addresses.get_or_insert_with(|| of("ip").filter_map(|a| a.parse().ok()).collect());
            !addresses.is_empty()
                && network(acl.id).is_some_and(|net| addresses.iter().any(|a| in_network(*a, net)))
        }
        "digest" if many => hashed
            .get_or_insert_with(|| {
                let mut set = HashSet::with_hasher(index::seeded());
                set.extend(of("digest"));
                set
            })
            .contains(acl.id),
        "digest" => of("digest").any(|id| id == acl.id),
        // Both are proved to this server one by one, so they are few.
        "x509" => of("x509").any(|id| id == acl.id),
        // `SASLAuthenticationProvider.matches`
        "sasl" => of("sasl").any(|id| id == acl.id || id == "super"),
        _ => false,
    })
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

fn in_network(address: IpAddr, (base, bits): (IpAddr, u32)) -> bool {
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

/// Schemes that `auth` stands for: what callers prove, and not what they merely have.
const PROVED: [&str; 3] = ["digest", "sasl", "x509"];

/// `PrepRequestProcessor.fixupACL`: removes duplicates, expands `auth`, refuses what no provider
/// knows, and users of SASL and TLS before all members know them. Writes `vector<ACL>` to `out`.
pub(super) fn fix(
    list: AclList<'_>,
    identity: Identity<'_>,
    level: u16,
    out: &mut Vec<u8>,
) -> Result<Fit, Code> {
    let principals = level >= PRINCIPALS;
    let schemes = if principals { &PROVED[..] } else { &PROVED[..1] };
    if list == AclList::OPEN {
        return Ok(Fit::Open);
    }
    out.clear();
    out.extend_from_slice(&[0; 4]);
    let mut count: u32 = 0;
    // Asked only whether an entry was seen: its order shows nowhere. The seed is this process's own,
    // so that nobody can send entries that collide.
    let mut seen = (list.len() > COMPARED).then(|| HashSet::with_hasher(index::seeded()));
    for (at, acl) in list.iter().enumerate() {
        let again = match &mut seen {
            Some(seen) => !seen.insert(acl),
            None => list.iter().take(at).any(|before| before == acl),
        };
        if again {
            continue;
        }
        match acl.scheme {
            "world" if acl.id == "anyone" => {}
            "auth" => {
                let before = count;
                let proved = identity.iter().filter(|(scheme, _)| schemes.contains(scheme));
                for (scheme, id) in proved {
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
            // Valid whatever this server offers: what an entry of the log does must not hang on
            // the configuration of who applies it.
            "sasl" if principals && is_kerberos_name(acl.id) => {}
            "x509" if principals && is_distinguished_name(acl.id) => {}
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
            let address: IpAddr = address.parse().unwrap();
            let is = network(acl).is_some_and(|net| in_network(address, net));
            assert_eq!(is, inside, "{address} in {acl}");
        }
    }

    #[test]
    fn duplicates_of_a_long_list_go_in_no_more_time_than_it_has_entries() {
        // Compared with each other these would take minutes.
        let mut bytes = Vec::new();
        let ids: Vec<String> = (0..100_000).map(|n| format!("u{}:x", n % 60_000)).collect();
        let entry = |id| Acl { perms: 1, scheme: "digest", id };
        crate::wire::acl::put_acls(&mut bytes, ids.iter().map(|id| entry(id)));
        let list = AclList::decode(&mut Reader::new(&bytes)).unwrap();
        let mut out = Vec::new();
        assert_eq!(fix(list, Identity::default(), 0, &mut out), Ok(Fit::Written));
        let kept = AclList::decode(&mut Reader::new(&out)).unwrap();
        let kept: Vec<_> = kept.iter().map(|acl| acl.id).collect();
        assert_eq!(kept, ids[..60_000].iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn users_of_sasl_and_tls_come_with_the_level_that_all_members_know() {
        let mut identity = crate::state::IdentityBuf::new([10, 0, 0, 1].into());
        identity.add("digest", "u:x");
        identity.add("sasl", "broker");
        for (scheme, id, expanded) in
            [("sasl", "broker", 1), ("x509", "CN=a", 1), ("auth", "", 2), ("digest", "u:x", 1)]
        {
            let mut bytes = Vec::new();
            let acls = [Acl { perms: 1, scheme, id }];
            crate::wire::acl::put_acls(&mut bytes, acls.into_iter());
            let list = AclList::decode(&mut Reader::new(&bytes)).unwrap();
            let fixed = |level| {
                let mut out = Vec::new();
                fix(list, identity.as_identity(), level, &mut out)?;
                Ok::<_, Code>(AclList::decode(&mut Reader::new(&out)).unwrap().len())
            };
            assert_eq!(fixed(PRINCIPALS), Ok(expanded), "{scheme}");
            let before = match scheme {
                "auth" | "digest" => Ok(1),
                _ => Err(Code::InvalidAcl),
            };
            assert_eq!(fixed(PRINCIPALS - 1), before, "{scheme}");
        }
    }

    #[test]
    fn one_of_many_users_passes() {
        let mut identity = crate::state::IdentityBuf::new([10, 0, 0, 1].into());
        for n in 0..50 {
            identity.add("digest", &format!("u{n}:x"));
        }
        let entry = |scheme, id| [Acl { perms: 1, scheme, id }].into_iter();
        for (scheme, id, passes) in [
            ("digest", "u49:x", true),
            ("digest", "u50:x", false),
            ("ip", "10.0.0.0/8", true),
            ("ip", "11.0.0.0/8", false),
            ("x509", "u1:x", false),
        ] {
            assert_eq!(grants(entry(scheme, id), identity.as_identity()), passes, "{id}");
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
