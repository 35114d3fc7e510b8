//! The JSON Schema, read by a validator that no one here wrote (Python's `jsonschema`): what zkprov
//! accepts no editor may paint red, and what is wrong by shape it must.

use std::path::{Path, PathBuf};
use std::process::Command;

use zkprov::inventory;

use crate::SEPARATOR;
use crate::root;
use crate::skipped;

/// Wrong by its shape alone, each in its own way.
const WRONG: [&str; 8] = [
    "- a list\n",
    "ensemble: e\n",
    "ensemble: e\nhosts: { a: { address: 10.0.0.1, myid: 1 } }\nhots: 1\n",
    "ensemble: e\nhosts: { a: { adress: 10.0.0.1, myid: 1 } }\n",
    "ensemble: e\nhosts: { a: { address: 10.0.0.1, myid: 0 } }\n",
    "ensemble: e\nhosts: { a: { address: 10.0.0.1, myid: 256 } }\n",
    "ensemble: e\nhosts: { a: { address: 10.0.0.1, myid: 1, role: leader } }\n",
    "ensemble: e\nhosts: { a: { address: 10.0.0.1, myid: 1 } }\nkafka: { install: maybe }\n",
];

/// Whether each file is valid; `None` where there is no validator.
fn valid(schema: &Path, files: &[PathBuf]) -> Option<Vec<bool>> {
    let python = Path::new("/usr/bin/python3");
    let script = root().join("tests/it/validator.py");
    let ran = Command::new(python).arg(script).arg(schema).args(files).output().ok()?;
    let stderr = String::from_utf8_lossy(&ran.stderr);
    if stderr.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(ran.status.success(), "{stderr}");
    let text = String::from_utf8_lossy(&ran.stdout);
    let valid: Vec<bool> = text.lines().map(|line| line.starts_with("valid ")).collect();
    assert_eq!(valid.len(), files.len(), "{text}{stderr}");
    Some(valid)
}

#[test]
fn a_validator_agrees_with_the_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = folder.path().join("schema.json");
    let printed = Command::new(env!("CARGO_BIN_EXE_zkprov")).arg("schema").output().expect("it");
    std::fs::write(&schema, printed.stdout).expect("written");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let listed = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file())
    };
    let mut right: Vec<PathBuf> = listed("inventories").collect();
    right.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    for path in listed("tests/cases/inventory") {
        let text = std::fs::read_to_string(&path).expect("a case");
        let input = text.split_once(SEPARATOR).map_or(text.as_str(), |(input, _)| input);
        if inventory::read(&path, input.as_bytes(), Some(Path::new("/home/me"))).inventory.is_some()
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            right.push(write(&name, input));
        }
    }
    assert!(right.len() > 12, "{right:?}");
    let wrong: Vec<PathBuf> = WRONG
        .iter()
        .enumerate()
        .map(|(number, text)| {
            assert!(inventory::read(Path::new("w"), text.as_bytes(), None).inventory.is_none());
            write(&format!("wrong-{number}.yaml"), text)
        })
        .collect();
    let Some(verdicts) = valid(&schema, &right) else {
        skipped("schema::a_validator_agrees_with_the_reader", "no jsonschema and yaml for python3");
        return;
    };
    let refused: Vec<_> = right.iter().zip(&verdicts).filter(|(_, valid)| !**valid).collect();
    assert!(refused.is_empty(), "refused though right: {refused:#?}");
    let verdicts = valid(&schema, &wrong).expect("it was there a moment ago");
    let taken: Vec<_> = WRONG.iter().zip(&verdicts).filter(|(_, valid)| **valid).collect();
    assert!(taken.is_empty(), "taken though wrong: {taken:#?}");
}
