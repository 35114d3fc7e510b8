//! Snapshots: whole or not at all, and the newest sound one counts.

use raft::eraftpb::ConfState;

use super::super::faulty::{CrashModel, FaultyDisk};
use super::super::*;
use crate::random::Seeded;

fn meta(index: u64) -> SnapshotMeta {
    let conf_state = ConfState { voters: vec![1, 2, 3], learners: vec![9], ..ConfState::default() };
    SnapshotMeta { index, term: 4, conf_state, zxid: 77, cluster_id: u128::MAX - 5 }
}

pub(super) fn write_snapshot(disk: &FaultyDisk, index: u64) -> Result<(), StoreError> {
    let mut writer = SnapshotWriter::create(disk.clone(), &meta(index))?;
    for n in 0..5_u8 {
        writer.chunk(&vec![n; 300])?;
    }
    writer.finish()
}

fn load(reader: &mut SnapshotReader<FaultyDisk>) -> Result<Vec<u8>, StoreError> {
    let (mut all, mut chunk) = (Vec::new(), Vec::new());
    while reader.chunk(&mut chunk)? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

fn newest(disk: &FaultyDisk) -> (Option<u64>, usize) {
    let (found, passed) = newest_snapshot(disk, load).unwrap();
    if let Some((found, bytes)) = &found {
        assert_eq!(*found, meta(found.index));
        assert_eq!(bytes.len(), 1500);
    }
    (found.map(|(meta, _)| meta.index), passed.len())
}

#[test]
fn the_newest_sound_snapshot_wins() {
    let disk = FaultyDisk::new("data");
    assert_eq!(newest(&disk), (None, 0));
    write_snapshot(&disk, 10).unwrap();
    write_snapshot(&disk, 20).unwrap();
    assert_eq!(newest(&disk), (Some(20), 0));
    let name = list_snapshots(&disk).unwrap()[0].1.clone();
    for offset in 0..disk.content(&name).len() as u64 {
        let rotten = disk.fork();
        rotten.rot(&name, offset, (offset % 8) as u8);
        assert_eq!(newest(&rotten), (Some(10), 1), "offset {offset}");
    }
    purge_snapshots(&disk, 1).unwrap();
    assert_eq!(list_snapshots(&disk).unwrap().len(), 1);
}

#[test]
fn a_snapshot_is_there_whole_or_not_at_all() {
    let mut outcomes = [0; 2];
    for seed in 0..200 {
        let disk = FaultyDisk::new("data");
        write_snapshot(&disk, 10).unwrap();
        let mut random = Seeded::new(seed);
        let mut writer = SnapshotWriter::create(disk.clone(), &meta(20)).unwrap();
        for n in 0..5_u8 {
            writer.chunk(&vec![n; 300]).unwrap();
        }
        let finished = random.chance(1, 2);
        if finished {
            writer.finish().unwrap();
        }
        disk.crash(CrashModel::Random, &mut random);
        remove_partial(&disk).unwrap();
        assert_eq!(newest(&disk), (Some(if finished { 20 } else { 10 }), 0), "seed {seed}");
        assert!(disk.list().unwrap().iter().all(|n| n.strip_suffix(".snap").is_some()));
        outcomes[usize::from(finished)] += 1;
    }
    assert!(outcomes.iter().all(|&n| n > 50));
}

#[test]
fn a_full_disk_while_writing_a_snapshot_leaves_the_old_one() {
    let disk = FaultyDisk::new("data");
    write_snapshot(&disk, 10).unwrap();
    disk.set_capacity(Some(disk.used() + 700));
    assert!(write_snapshot(&disk, 20).err().unwrap().is_full());
    remove_partial(&disk).unwrap();
    assert_eq!(newest(&disk), (Some(10), 0));
}
