//! Append and sync on a real disk: syncs a second, bytes and system calls per batch.
//!
//! `cargo bench -p coordinator --bench wal -- [DIRECTORY]`; the directory chooses the disk.
#![expect(clippy::print_stdout, reason = "the figures are this program's data")]
#![allow(clippy::disallowed_methods, reason = "a bench measures by clocks, files and processes")]

use std::path::PathBuf;
use std::time::Instant;

use coordinator::store::{Position, RealDisk, Wal, WalOptions, prepare_spare};
use raft::eraftpb::{Entry, HardState};

fn main() {
    let chosen = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let directory = chosen
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("coordinator-bench-wal-{}", std::process::id()));
    println!(
        "| entry bytes | entries a batch | batches | syncs/s | MB/s | bytes a batch beyond data | write calls a batch | sync calls a batch |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (data, batch, batches) in
        [(100, 1, 1000), (3_200, 1, 1000), (3_200, 8, 500), (1 << 20, 1, 60)]
    {
        run(&directory, data, batch, batches);
    }
}

fn run(directory: &PathBuf, data: usize, batch: u64, batches: u64) {
    let disk = RealDisk::open(directory).expect("a directory to write in");
    let options = WalOptions::new(7);
    let (mut wal, _) = Wal::open(disk.clone(), options.clone(), Position::default()).expect("new");
    let payload = vec![0x5a; data];
    let mut hard_state = HardState { term: 1, vote: 1, ..HardState::default() };
    let (mut calls_before, mut seconds) = (calls(), 0.0);
    let (mut writes, mut bytes) = (0, 0);
    for number in 0..batches {
        if wal.wants_spare() {
            prepare_spare(&disk, &options).expect("space");
            calls_before = calls();
        }
        let entries: Vec<Entry> = (1..=batch)
            .map(|i| Entry {
                term: 1,
                index: number * batch + i,
                data: payload.clone().into(),
                ..Entry::default()
            })
            .collect();
        hard_state.commit = number * batch;
        let start = Instant::now();
        wal.append(&entries, Some(&hard_state)).expect("append");
        wal.sync().expect("sync");
        seconds += start.elapsed().as_secs_f64();
        let now = calls();
        writes += now.0 - calls_before.0;
        bytes += now.1 - calls_before.1;
        calls_before = now;
    }
    let total = batches as f64;
    println!(
        "| {data} | {batch} | {batches} | {:.0} | {:.1} | {:.0} | {:.3} | 1 |",
        total / seconds,
        (batches * batch) as f64 * data as f64 / seconds / 1e6,
        bytes as f64 / total - (batch as usize * data) as f64,
        writes as f64 / total,
    );
    drop((wal, disk));
    std::fs::remove_dir_all(directory).expect("it was made here");
}

/// Write calls and bytes written by this process so far, as Linux counts them.
fn calls() -> (u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field = |name: &str| {
        io.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
    };
    (field("syscw:"), field("wchar:"))
}
