//! Text cases: input, a line `---`, the output expected.

use std::fs;
use std::path::PathBuf;

/// Runs every file of `tests/cases/<folder>` through `run` and compares what comes out.
pub(crate) fn check(folder: &str, run: impl Fn(&str) -> String) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", directory.display());
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let case = fs::read_to_string(&file).unwrap();
        let (input, expected) = case.split_once("\n---\n").unwrap_or((case.trim_end(), ""));
        let found = run(input);
        if found.trim_end() == expected.trim_end() {
            continue;
        }
        if update {
            fs::write(&file, format!("{input}\n---\n{}\n", found.trim_end())).unwrap();
        } else {
            wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
