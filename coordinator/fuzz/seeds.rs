//! Writes the protocol vectors into `corpus/`, so that the fuzzer begins with real records.
//! Needs nothing but `rustc`, see `.ci/fuzz`.

#[path = "../tests/it/vectors.rs"]
mod vectors;

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let kinds = [
        ("requests", ["handshake.txt", "requests.txt", "malformed.txt", "frames.txt"].as_slice()),
        ("replies", ["handshake.txt", "replies.txt", "malformed.txt"].as_slice()),
    ];
    for (target, files) in kinds {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        for file in files {
            for (number, vector) in vectors::read(file).iter().enumerate() {
                fs::write(directory.join(format!("{file}-{number}")), &vector.bytes)?;
            }
        }
    }
    Ok(())
}
