//! What clients do to a server: random, the same for the same seed, with every kind of write.

use coordinator::client::{Client, CreateOptions, Options, Servers};
use coordinator::random::Seeded;
use coordinator::wire::acl::perms;
use coordinator::wire::reply::AclEntry;
use coordinator::wire::request::create_mode;

/// Long enough for an import and a start of whatever comes next.
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const CREDENTIALS: &[u8] = b"user:password";

/// What [`CREDENTIALS`] prove: `base64(sha1(user:password))`.
const DIGEST_ID: &str = "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=";

pub(super) fn connect(servers: &str) -> Client {
    let options = Options { session_timeout_ms: SESSION_MS, ..Options::default() };
    let mut client = Client::open(Servers::parse(servers).unwrap(), options, None).unwrap();
    client.add_auth("digest", CREDENTIALS).unwrap();
    client
}

fn entry(perms: i32, scheme: &str, id: &str) -> AclEntry {
    AclEntry { perms, scheme: scheme.to_owned(), id: id.to_owned() }
}

fn acls(random: &mut Seeded) -> Option<Vec<AclEntry>> {
    let all = perms::ALL;
    match random.below(6) {
        0 => Some(vec![entry(all, "digest", DIGEST_ID)]),
        1 => Some(vec![entry(perms::READ, "world", "anyone"), entry(all, "digest", DIGEST_ID)]),
        2 => Some(vec![entry(all, "ip", "127.0.0.0/8"), entry(perms::READ, "world", "anyone")]),
        3 => Some(vec![entry(all, "world", "anyone"), entry(1, "ip", "10.0.0.1")]),
        _ => None,
    }
}

fn data(random: &mut Seeded) -> Option<Vec<u8>> {
    match random.below(8) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(vec![7; 5000]),
        _ => Some((0..random.below(40)).map(|n| n as u8).collect()),
    }
}

/// Which kinds of znodes a release has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// 3.4.
    Old,
    All,
}

/// So many writes below `top`, failed ones among them.
pub(super) fn write(client: &mut Client, top: &str, seed: u64, count: usize, kinds: Kinds) {
    let mut random = Seeded::new(seed);
    let _ = client.create(top, None, CreateOptions::default());
    let mut known = vec![top.to_owned()];
    for _ in 0..count {
        let at = random.below(known.len() as u64) as usize;
        let path = known[at].clone();
        // Failures are part of the history: each takes a zxid.
        match random.below(20) {
            0..9 => {
                let mode = match random.below(if kinds == Kinds::Old { 8 } else { 11 }) {
                    0 => create_mode::EPHEMERAL,
                    1 => create_mode::EPHEMERAL_SEQUENTIAL,
                    2..4 => create_mode::PERSISTENT_SEQUENTIAL,
                    8 => create_mode::CONTAINER,
                    9 => create_mode::PERSISTENT_WITH_TTL,
                    10 => create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL,
                    _ => create_mode::PERSISTENT,
                };
                let child = format!("{path}/n{}", random.below(12));
                let acl = acls(&mut random);
                let options = CreateOptions { mode, ttl_ms: 3_600_000, acl: acl.as_deref() };
                if let Ok((path, _)) = client.create(&child, data(&mut random).as_deref(), options)
                {
                    known.push(path);
                }
            }
            9..12 => {
                if path != top && client.delete(&path, -1).is_ok() {
                    known.swap_remove(at);
                }
            }
            12..15 => {
                let _ = client.set_data(&path, data(&mut random).as_deref(), -1);
            }
            15..17 => {
                let acl = acls(&mut random).unwrap_or_else(|| vec![entry(31, "world", "anyone")]);
                let _ = client.set_acl(&path, &acl, -1);
            }
            _ => {
                let mut multi = client.transaction();
                let child = format!("{path}/m{}", random.below(6));
                multi.check(&path, -1);
                multi.create(&child, Some(b"multi"), create_mode::PERSISTENT, None);
                multi.set_data(&child, data(&mut random).as_deref(), 0);
                if random.below(2) == 0 {
                    multi.delete(&child, -1);
                }
                let _ = client.commit(multi);
            }
        }
    }
}
