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
    // Scripts of whole connections: a handshake, then the vector as it is and as a frame.
    let directory = corpus.join("connections");
    fs::create_dir_all(&directory)?;
    for file in ["handshake.txt", "requests.txt", "malformed.txt", "frames.txt"] {
        for (number, vector) in vectors::read(file).iter().enumerate() {
            for servers in [0, 1] {
                let mut script = vec![servers, 2, 6];
                for part in vector.bytes.chunks(255) {
                    script.extend_from_slice(&[5, part.len() as u8]);
                    script.extend_from_slice(part);
                    script.extend_from_slice(&[2, part.len() as u8]);
                    script.extend_from_slice(part);
                }
                fs::write(directory.join(format!("{file}-{number}-{servers}")), &script)?;
            }
        }
    }
    // Stores and certificates, each behind the byte that says what it is (`secure_bytes`); but for those
    // with a cipher by a password, since a number in them says for how many seconds it is derived.
    let directory = corpus.join("secure");
    fs::create_dir_all(&directory)?;
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tls/stores");
    for file in fs::read_dir(stores)?.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".p12") || name.contains("encrypted") {
            continue;
        }
        let bytes = fs::read(file.path())?;
        fs::write(directory.join(name), [&[0], &bytes[..]].concat())?;
    }
    Ok(())
}
