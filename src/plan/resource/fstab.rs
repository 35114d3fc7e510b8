//! Swap lines of `/etc/fstab` out of action: by the grammar that libmount and systemd use, and with
//! every other byte as it was.

use crate::layout::SWAP_LINE_PREFIX;
use crate::plan::change::{Action, Change, Difference};
use crate::plan::diff::unified;
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::probe::{Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fstab;

impl Fstab {
    pub fn read(&self, reading: &mut Reading) {
        reading.content("/etc/fstab");
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let Some(content) = observed.content("/etc/fstab") else { return Difference::Same };
        let lines = swap_lines(content);
        if lines.is_empty() {
            return Difference::Same;
        }
        let operation = Operation::CommentSwapLines {
            sha256: crate::digest::sha256(content),
            lines: lines.clone(),
        };
        let diff = unified(
            "/etc/fstab",
            &String::from_utf8_lossy(content),
            &String::from_utf8_lossy(&without_swap(content)),
        );
        let reason = Reason::SwapLines(lines);
        Difference::change(Change {
            diff: Some(diff),
            ..Change::new(Action::Update, reason, operation)
        })
    }
}

/// Numbers, from 1, of the lines whose third field is `swap`.
///
/// Fields are separated by blanks and tabs, comments begin with `#` behind optional blanks
/// (getmntent(3), libmount's `mnt_parse_table_line`). Libmount also ignores a carriage return at the
/// end of a line, so `swap\r` counts.
fn swap_lines(content: &[u8]) -> Vec<usize> {
    content
        .split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| is_swap(line))
        .map(|(index, _)| index + 1)
        .collect()
}

fn is_swap(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields =
        line.split(|&byte| byte == b' ' || byte == b'\t').filter(|field| !field.is_empty());
    match fields.next() {
        Some(first) if !first.starts_with(b"#") => fields.nth(1) == Some(b"swap"),
        _ => false,
    }
}

/// The content as `do_fstab` leaves it.
pub fn without_swap(content: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(content.len() + 64);
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        if index > 0 {
            result.push(b'\n');
        }
        if is_swap(line) {
            result.extend_from_slice(SWAP_LINE_PREFIX.as_bytes());
        }
        result.extend_from_slice(line);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_type_swap_change() {
        let cases = [
            ("/swapfile none swap sw 0 0\n", "#zkprov# /swapfile none swap sw 0 0\n"),
            ("\t/dev/sdb1\tswap\tswap\n", "#zkprov# \t/dev/sdb1\tswap\tswap\n"),
            ("/dev/sdb1 /mnt/swap ext4 defaults 0 2\n", ""),
            ("/dev/sdb1 swap ext4 swap 0 2\n", ""),
            ("# /swapfile none swap sw\n  #/x none swap\n", ""),
            ("/swapfile none swap", "#zkprov# /swapfile none swap"),
            ("a b swap\r\nc d ext4\r\n", "#zkprov# a b swap\r\nc d ext4\r\n"),
            ("/dev/x none swapfs sw\n/dev/y none Swap sw\n", ""),
            ("\n\n none swap\n", ""),
            ("", ""),
        ];
        for (before, after) in cases {
            let after = if after.is_empty() { before } else { after };
            let result = without_swap(before.as_bytes());
            assert_eq!(String::from_utf8_lossy(&result), after, "{before:?}");
        }
    }

    /// A small generator of everything an fstab can look like, from a seed.
    struct Random(u64);

    impl Random {
        fn next(&mut self, below: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % below as u64) as usize
        }

        fn fstab(&mut self) -> Vec<u8> {
            const PIECES: [&[u8]; 16] = [
                b" ",
                b"\t",
                b"\n",
                b"\r\n",
                b"#",
                b"swap",
                b"none",
                b"/dev/sda1",
                b"ext4",
                b"sw,pri=5",
                b"\\040",
                b"0",
                b"\xff\xfe",
                b"\0",
                b"/mnt/swap",
                b"UUID=1 none swap sw 0 0\n",
            ];
            let count = self.next(40);
            (0..count).flat_map(|_| PIECES[self.next(PIECES.len())]).copied().collect()
        }
    }

    #[test]
    fn every_other_byte_stays_and_twice_is_once() {
        for seed in 1..5_000 {
            let content = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed)).fstab();
            let result = without_swap(&content);
            assert_eq!(
                without_swap(&result),
                result,
                "seed {seed}: applying twice is applying once"
            );
            assert!(swap_lines(&result).is_empty(), "seed {seed}");
            let before: Vec<&[u8]> = content.split(|&byte| byte == b'\n').collect();
            let after: Vec<&[u8]> = result.split(|&byte| byte == b'\n').collect();
            assert_eq!(before.len(), after.len(), "seed {seed}");
            for (old, new) in before.iter().zip(&after) {
                let kept = new
                    .strip_prefix(SWAP_LINE_PREFIX.as_bytes())
                    .filter(|_| is_swap(old))
                    .unwrap_or(new);
                assert_eq!(kept, *old, "seed {seed}");
            }
        }
    }

    /// What the host's `sed` makes of it is what was shown.
    #[test]
    fn the_shell_makes_the_same_edit() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("fstab");
        for seed in 1..40 {
            let content = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed)).fstab();
            std::fs::write(&file, &content).expect("written");
            let lines = swap_lines(&content);
            let edits = lines.iter().map(|line| format!("{line}s/^/{SWAP_LINE_PREFIX}/;"));
            let edit = edits.collect::<Vec<_>>().concat();
            let output = std::process::Command::new("sed")
                .env("LC_ALL", "C")
                .arg("-e")
                .arg(edit)
                .arg("--")
                .arg(&file)
                .output()
                .expect("sed");
            assert_eq!(output.stdout, without_swap(&content), "seed {seed}");
        }
    }
}
