//! What a target begins with where only the server can make it: written before the fuzzer reads its corpus.

use std::fs;
use std::path::Path;

pub(crate) fn begin(target: &str, seeds: Vec<Vec<u8>>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory).expect("a folder for the corpus");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{number}")), seed).expect("a place for a seed");
    }
}
