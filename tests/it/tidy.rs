//! House rules, with file and line; among them which room may import which. A new room, or a crate's first,
//! is a line in the tables.

use std::path::{Path, PathBuf};

use crate::root;

/// A file is split by noun before it gets this long.
const LINES_MAX: usize = 600;
/// Tests are lists, and may be longer.
const TEST_LINES_MAX: usize = 800;
/// Rooms named after nothing.
const BANNED: [&str; 5] = ["utils", "util", "helpers", "common", "misc"];
const SOURCES: [&str; 6] =
    ["src", "tests", "coordinator/src", "coordinator/tests", "bench/src", "coordinator/benches"];

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    files
}

fn check(rule: impl Fn(&Path, &str) -> Option<String>) {
    let broken: Vec<String> = sources()
        .iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).expect("a source");
            rule(path, &text).map(|why| format!("{}: {why}", path.display()))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    check(|_, text| (!text.starts_with("//! ")).then(|| "no module doc on line 1".to_owned()));
}

#[test]
fn no_file_is_too_long() {
    check(|path, text| {
        let lines = text.lines().count();
        let test = path.iter().any(|part| part == "tests");
        let allowed = if test { TEST_LINES_MAX } else { LINES_MAX };
        (lines > allowed).then(|| format!("{lines} lines, {allowed} are allowed"))
    });
}

#[test]
fn no_room_is_named_after_nothing() {
    check(|path, _| {
        let names = path.iter().filter_map(|part| part.to_str());
        names
            .map(|name| name.trim_end_matches(".rs"))
            .find(|name| BANNED.contains(name))
            .map(|name| format!("`{name}` is no noun of the field"))
    });
}

/// Only `report` prints, and `main` exits.
#[test]
fn processes_do_not_end_deep_inside() {
    check(|path, text| {
        let outside = !path.starts_with(root().join("src"));
        if outside {
            return None;
        }
        let line = text.lines().position(|line| line.contains("process::exit("))?;
        Some(format!("line {}: `process::exit` outside of main", line + 1))
    });
}

/// Rooms from the ground up: a file of a room imports from its own room and from those above it in this
/// list, never from those below. A crate's rooms are one list.
const ZKPROV_ROOMS: &[&str] = &[
    "exit",
    "failure",
    "digest",
    "layout",
    "quantity",
    "cli",
    "report",
    "inventory",
    "script",
    "probe",
    "certificates",
    "health",
    "plan",
    "migration",
    "artifacts",
    "host",
    "run",
    "rolling",
    "lab",
    "command",
    "lib",
    "main",
];

const COORDINATOR_ROOMS: &[&str] = &[
    "exit",
    "bytes",
    "random",
    "password",
    "hasty",
    "wire",
    "tree",
    "store",
    "sasl",
    "tls",
    "session_password",
    "answers",
    "config",
    "state",
    "client",
    "access",
    "admin",
    "apache",
    "node",
    "driver",
    "edge",
    "offline",
    "shell",
    "brokers",
    "status",
    "cli",
    "lib",
    "main",
];

/// A crate's folder, its rooms, and the pure ones among them, as paths.
struct House {
    folder: &'static str,
    rooms: &'static [&'static str],
    pure: &'static [&'static str],
}

const HOUSES: [House; 2] = [ZKPROV, COORDINATOR];

const ZKPROV: House = House {
    folder: "src",
    rooms: ZKPROV_ROOMS,
    pure: &[
        "layout.rs",
        "digest.rs",
        "exit.rs",
        "failure.rs",
        "inventory",
        "probe",
        "certificates",
        "health",
        "plan",
        "migration",
        "rolling/brokers.rs",
        "rolling/gate.rs",
        "rolling/members.rs",
    ],
};

/// In its `lib.rs` clippy holds the same ban for whole rooms, by the functions' own names.
const COORDINATOR: House = House {
    folder: "coordinator/src",
    rooms: COORDINATOR_ROOMS,
    pure: &[
        "exit.rs",
        "bytes.rs",
        "random.rs",
        "wire",
        "tree",
        "sasl",
        "tls",
        "session_password.rs",
        "answers.rs",
        "state",
        "admin/view.rs",
        "admin/words.rs",
        "admin/json.rs",
        "admin/metrics.rs",
        "admin/monitor.rs",
        "admin/calendar.rs",
        "admin/histogram.rs",
        "node",
        "driver",
    ],
};

/// Parts of the coordinator's node: each owns its fields, and is read and tested without the node.
const NODE_PARTS: [&str; 24] = [
    "audit.rs",
    "budget.rs",
    "client.rs",
    "clock.rs",
    "comparison.rs",
    "durability.rs",
    "elections.rs",
    "endings.rs",
    "entry.rs",
    "expiry.rs",
    "lease.rs",
    "log.rs",
    "membership.rs",
    "membership/step.rs",
    "outbox.rs",
    "peer.rs",
    "peers.rs",
    "proposals.rs",
    "protobuf_groups.rs",
    "reaper.rs",
    "sessions.rs",
    "snapshots.rs",
    "stats.rs",
    "syncs.rs",
];

/// Clocks, files, sockets and processes, which the pure rooms do without.
const OUTSIDE: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "std::net::Tcp",
    "std::process::Command",
    "tokio::",
    "fs::File",
    "std::fs::",
    "std::env::",
];

/// Where the purity of a room ends, by file: reading the inventory and templates of the user's own.
const DOORS: [&str; 3] = ["inventory/mod.rs", "plan/template.rs", "plan/valid.rs"];

/// A file without its tests and its comments.
fn bare(text: &str) -> String {
    let text = text.replace("#[cfg(test)]\nmod tests;", "");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// The room of a path below the crate's folder: its first folder, or the file's own name.
fn room(path: &Path, folder: &Path) -> String {
    let below = path.strip_prefix(folder).expect("below the folder");
    let first = below.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names, by path or in the braces of one `use`.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if rest.starts_with('{') {
            used(rest.split(';').next().unwrap_or_default(), "", &mut paths);
        } else {
            paths.push(rest.to_owned());
        }
    }
    let words = paths.iter().filter_map(|path| identifiers(path).next());
    words.map(str::to_owned).collect()
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn rooms_import_downwards_only() {
    for house in &HOUSES {
        let folder = root().join(house.folder);
        check(|path, text| {
            let test = path.ends_with("tests.rs");
            if !path.starts_with(&folder) || test {
                return None;
            }
            let own = room(path, &folder);
            let Some(height) = house.rooms.iter().position(|known| *known == own) else {
                return Some(format!("the room `{own}` has no place in the list of rooms"));
            };
            let wrong = imported_rooms(&bare(text)).into_iter().find(|name| {
                house.rooms.iter().position(|known| known == name).is_some_and(|at| at > height)
            })?;
            Some(format!("`{own}` must not import from `{wrong}`"))
        });
    }
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    for house in &HOUSES {
        let folder = root().join(house.folder);
        check(|path, text| {
            let below = path.strip_prefix(&folder).ok()?;
            let pure = house.pure.iter().any(|room| below.starts_with(room));
            if !pure
                || path.ends_with("tests.rs")
                || DOORS.iter().any(|door| below == Path::new(door))
            {
                return None;
            }
            let code = bare(text);
            let word = OUTSIDE.iter().find(|word| code.contains(**word))?;
            Some(format!("`{word}` in a pure room"))
        });
    }
}

#[test]
fn parts_of_the_node_do_not_know_it() {
    let folder = root().join("coordinator/src/node");
    for part in NODE_PARTS {
        let text = std::fs::read_to_string(folder.join(part)).expect(part);
        let knows = identifiers(&bare(&text)).any(|word| word == "Node");
        assert!(!knows, "node/{part} names `Node`: give it what it needs");
    }
}

/// The file that a module path means, below `folder`.
fn file_of(path: &[String], folder: &Path) -> Option<PathBuf> {
    (1..=path.len()).rev().find_map(|length| {
        let base = path[..length].iter().fold(folder.to_path_buf(), |base, part| base.join(part));
        [base.with_extension("rs"), base.join("mod.rs")].into_iter().find(|path| path.is_file())
    })
}

/// The paths of one `use`, braces resolved.
fn used(tree: &str, before: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        into.push(format!("{before}{tree}"));
        return;
    };
    let (head, rest) = (&tree[..open], tree[open + 1..].trim_end().trim_end_matches('}'));
    let (mut depth, mut from) = (0, 0);
    for (at, c) in rest.char_indices().chain([(rest.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !rest[from..at].trim().is_empty() {
                    used(&rest[from..at], &format!("{before}{head}"), into);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn no_file_imports_in_a_circle() {
    for house in &HOUSES {
        let folder = root().join(house.folder);
        let mut imports: std::collections::BTreeMap<PathBuf, Vec<PathBuf>> =
            std::collections::BTreeMap::new();
        for path in sources().into_iter().filter(|path| path.starts_with(&folder)) {
            if path.ends_with("tests.rs") {
                continue;
            }
            let code = bare(&std::fs::read_to_string(&path).expect("a source"));
            let mut all = Vec::new();
            for part in code.split("use crate::").skip(1) {
                used(part.split(';').next().unwrap_or_default(), "", &mut all);
            }
            let targets = all.iter().filter_map(|import| {
                let parts: Vec<String> = import
                    .split("::")
                    .map(|part| part.trim().split(' ').next().unwrap_or_default().to_owned())
                    .filter(|part| part != "self")
                    .collect();
                file_of(&parts, &folder).filter(|target| *target != path)
            });
            let targets = targets.collect();
            imports.insert(path, targets);
        }
        // What imports nothing that is left is taken away until nothing changes: circles remain.
        loop {
            let before = imports.len();
            let known: Vec<PathBuf> = imports.keys().cloned().collect();
            imports.retain(|_, targets| targets.iter().any(|target| known.contains(target)));
            if imports.len() == before {
                break;
            }
        }
        // So is what only others that are left do not import.
        loop {
            let before = imports.len();
            let wanted: Vec<PathBuf> = imports.values().flatten().cloned().collect();
            imports.retain(|path, _| wanted.contains(path));
            if imports.len() == before {
                break;
            }
        }
        let circle: Vec<_> = imports.keys().collect();
        assert!(circle.is_empty(), "these files import each other in a circle: {circle:#?}");
    }
}
