//! House rules, with file and line.

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
