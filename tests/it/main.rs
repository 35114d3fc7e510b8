//! The one test binary. Cases are text files under `tests/cases/`: what goes in, a line `%%%`, and
//! what must come out. `ZKPROV_RECORD=1 cargo test --test it` writes what comes out into them; read
//! the difference like code.

mod adoption;
mod brokers;
mod certs;
mod checksum;
mod cli;
mod crossbuild;
mod documents;
mod fetch;
mod hosts;
mod inventory;
mod lab;
mod living;
mod load;
mod migration;
mod reports;
mod rolls;
mod scenarios;
mod schema;
mod situations;
mod ssh_config;
mod templates;
mod tidy;
mod vagrant;
mod watched;

use std::io::Write as _;
use std::path::{Path, PathBuf};

const SEPARATOR: &str = "%%%\n";

/// Where the repository is.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Says by name that a test cannot run here, and why; always true. Written past the test runner,
/// which would keep the talk of a test that passes to itself.
fn skipped(test: &str, why: &str) -> bool {
    told(&format!("skipped: {test}: {why}"));
    true
}

/// Says a line past the test runner.
fn told(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn recording() -> bool {
    std::env::var_os("ZKPROV_RECORD").is_some()
}

/// Runs every case of `tests/cases/FOLDER` through `answer`, which sees the name and the input.
fn cases(folder: &str, answer: impl Fn(&str, &str) -> String) {
    let folder = root().join("tests/cases").join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    let mut wrong = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a case");
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let got = answer(name, input);
        if recording() {
            std::fs::write(&path, format!("{input}{SEPARATOR}{got}")).expect("recording");
        } else if got != expected {
            wrong.push(format!("{}:\n{}", path.display(), difference(expected, &got)));
        }
    }
    assert!(wrong.is_empty(), "{}\nZKPROV_RECORD=1 records what came out", wrong.join("\n"));
}

/// Compares with `tests/golden/NAME`, or records it.
fn golden(name: &str, got: &str) {
    let path = root().join("tests/golden").join(name);
    if recording() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, got).expect("recording");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == got, "{}:\n{}", path.display(), difference(&expected, got));
}

/// The lines that differ, good enough to see what happened.
fn difference(expected: &str, got: &str) -> String {
    let (left, right): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let mut lines = Vec::new();
    for index in 0..left.len().max(right.len()) {
        let (old, new) = (left.get(index), right.get(index));
        if old != new {
            lines.extend(old.map(|line| format!("- {line}")));
            lines.extend(new.map(|line| format!("+ {line}")));
        }
    }
    if lines.is_empty() { "only line ends differ".to_owned() } else { lines.join("\n") }
}
