//! Files without a server: random trees written and read, and every kind of damage to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use coordinator::apache::directory::version_2;
use coordinator::apache::replica::stored_stat;
use coordinator::apache::{Digests, Loaded, ReadError, Source, load, write};
use coordinator::random::Seeded;
use coordinator::state::State;
use coordinator::tree::node::{Fields, Kind, ROOT};
use coordinator::tree::{Graft, Tree};
use coordinator::wire::acl::{Acl, put_acls};

fn read(directory: &Path) -> Result<Loaded, ReadError> {
    let source = Source { data: directory.to_owned(), log: directory.to_owned() };
    load(&source, Digests::Binding)
}

/// A tree of so many znodes with every kind of field, and some sessions.
fn random_state(seed: u64, znodes: usize) -> State {
    let mut random = Seeded::new(seed);
    let mut tree = Tree::default();
    let sessions: BTreeMap<i64, i32> =
        (0..random.below(5)).map(|n| (0x0100_0000_0000_0000 + n as i64, 4000 + n as i32)).collect();
    let mut ids = vec![ROOT];
    for name in ["zookeeper", "quota", "config"] {
        let parent = if name == "zookeeper" { ROOT } else { ids[1] };
        let (data, kind) = (Some(&b""[..]), Kind::Persistent);
        let acl = coordinator::tree::acl::OPEN;
        let graft = Graft { parent, name, data, acl, kind, fields: Fields::default() };
        ids.push(tree.graft(&graft));
    }
    for number in 0..znodes {
        let parent = ids[random.below(ids.len() as u64) as usize];
        let suffix = ["", " with blanks", "-é", "-漢字", "~"][random.below(5) as usize];
        let name = format!("{number}{suffix}");
        let data = vec![number as u8; random.below(300) as usize];
        let data = (random.below(5) > 0).then_some(&data[..]);
        let mut list = Vec::new();
        let entries = [
            Acl::OPEN,
            Acl { perms: 1, scheme: "digest", id: "a:b" },
            Acl { perms: 5, scheme: "sasl", id: "é" },
        ];
        let first = random.below(4) as usize;
        put_acls(&mut list, entries.into_iter().skip(first));
        let acl = tree.acls.intern(&list);
        let kind = match random.below(6) {
            0 if !sessions.is_empty() => Kind::Ephemeral(*sessions.keys().next().unwrap()),
            1 => Kind::Container,
            2 => Kind::Ttl(1 + random.below(1 << 40) as i64 % 0xff_ffff_ffff),
            _ => Kind::Persistent,
        };
        let mut zxid = || random.below(1 << 40) as i64;
        let fields = Fields {
            czxid: zxid(),
            mzxid: zxid(),
            pzxid: zxid(),
            ctime_ms: zxid(),
            mtime_ms: zxid(),
            version: zxid() as i32,
            cversion: zxid() as i32 & 0xffff,
            aversion: zxid() as i32 & 1,
        };
        let id = tree.graft(&Graft { parent, name: &name, data, acl, kind, fields });
        if !matches!(kind, Kind::Ephemeral(_)) {
            ids.push(id);
        }
    }
    State::imported(tree, sessions, 1 << 40, 1)
}

fn contents(tree: &Tree) -> BTreeMap<String, String> {
    let node = |(id, _)| {
        let (data, stat) = (tree.data(id), stored_stat(tree, id));
        (tree.path(id), format!("{data:?} {stat:?} {:?}", tree.acls.bytes(tree.acl(id))))
    };
    tree.walk(ROOT).map(node).collect()
}

/// Writes the state below a new directory.
fn written(state: &State) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let written = write::write(state, directory.path(), 256).unwrap();
    (directory, written.snapshot)
}

#[test]
fn random_trees_come_back_as_they_were() {
    for seed in 0..30 {
        let state = random_state(seed, 20 + seed as usize * 5);
        let (directory, _) = written(&state);
        let loaded = read(directory.path()).unwrap();
        assert_eq!(contents(&loaded.replica.tree), contents(state.tree()), "seed {seed}");
        let sessions: BTreeMap<i64, i32> =
            state.sessions().map(|(id, session)| (id, session.timeout_ms)).collect();
        assert_eq!(loaded.replica.sessions, sessions);
        assert_eq!((loaded.last_zxid, loaded.facts.digests_equal), (1 << 40, 1));
        assert_eq!(loaded.replica.tree.bytes(), state.tree().bytes());
    }
}

#[test]
fn a_snapshot_with_one_wrong_bit_or_cut_anywhere_is_refused() {
    let state = random_state(7, 12);
    let (directory, snapshot) = written(&state);
    let whole = fs::read(&snapshot).unwrap();
    let expected = contents(state.tree());
    // Every bit of some bytes, and some bit of every few.
    for bit in (0..whole.len() * 8).step_by(19) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&snapshot, &bytes).unwrap();
        let refused = read(directory.path()).expect_err("a wrong bit");
        assert!(refused.is_damage() && refused.to_string().contains("at offset"), "{refused}");
    }
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 33]) {
        fs::write(&snapshot, &whole[..cut]).unwrap();
        // Behind its first seal the file is one of 3.5.
        if let Ok(loaded) = read(directory.path()) {
            assert_eq!(contents(&loaded.replica.tree), expected);
            assert_eq!(cut, whole.len() - 33, "the first seal");
        }
    }
    let mut longer = whole;
    longer.push(0);
    fs::write(&snapshot, &longer).unwrap();
    assert!(read(directory.path()).unwrap_err().is_damage());
}

#[test]
fn hostile_lengths_cost_nothing() {
    let state = random_state(9, 6);
    let (directory, snapshot) = written(&state);
    let whole = fs::read(&snapshot).unwrap();
    for at in (0..whole.len() - 4).step_by(5) {
        for value in [i32::MAX, i32::MIN, -2, 1 << 26, (1 << 26) + 1] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            if bytes == whole {
                continue;
            }
            fs::write(&snapshot, &bytes).unwrap();
            assert!(read(directory.path()).is_err(), "{value} at {at}");
        }
    }
}

#[test]
fn an_unfinished_snapshot_is_passed_over_only_where_logs_lead_past_it() {
    let state = random_state(3, 10);
    let (directory, snapshot) = written(&state);
    let inside = version_2(directory.path());
    let later = inside.join(format!("snapshot.{:x}", (1i64 << 40) + 5));
    fs::write(&later, &fs::read(&snapshot).unwrap()[..100]).unwrap();
    let refused = read(directory.path()).unwrap_err().to_string();
    assert!(refused.contains(later.to_str().unwrap()), "{refused}");
    assert!(refused.contains("at offset"), "{refused}");
}
