//! Protocol vectors as text: what the bytes are, and the bytes (hex, `"text"`, `16x00`).

use std::path::PathBuf;

pub(crate) struct Vector {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn path(file: &str) -> PathBuf {
    // The fuzzer's crate lies beside `tests`, the tests' crate above it.
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let tests = manifest.ancestors().map(|above| above.join("tests/vectors"));
    tests.map(|vectors| vectors.join(file)).find(|path| path.exists()).expect("the vectors")
}

/// All vectors of a file.
pub(crate) fn read(file: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    text.split("\n\n").filter_map(parse).collect()
}

/// One block of lines; `None` if it is a comment only.
pub(crate) fn parse(block: &str) -> Option<Vector> {
    let mut lines = block.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let what = lines.next().filter(|line| !line.starts_with('='))?.to_owned();
    let mut bytes = Vec::new();
    for line in lines.take_while(|line| !line.starts_with('=')) {
        put_line(&mut bytes, line);
    }
    Some(Vector { what, bytes })
}

fn put_line(bytes: &mut Vec<u8>, line: &str) {
    let mut rest = line.trim();
    while !rest.is_empty() {
        if let Some(text) = rest.strip_prefix('"') {
            let (text, behind) = text.split_once('"').expect("closing quote");
            bytes.extend_from_slice(text.as_bytes());
            rest = behind.trim_start();
            continue;
        }
        let (token, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = behind.trim_start();
        let (times, hex) = token.split_once('x').unwrap_or(("1", token));
        for _ in 0..times.parse::<usize>().unwrap() {
            bytes.extend((0..hex.len()).step_by(2).map(|at| {
                u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("`{line}`"))
            }));
        }
    }
}
