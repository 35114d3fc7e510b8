//! The store under crashes, torn writes, rot, full disks and failing fsyncs.

mod snapshots;

use raft::eraftpb::{Entry, EntryType, HardState};

use self::snapshots::write_snapshot;
use super::faulty::{CrashModel, FaultyDisk};
use super::scan::segment_name;
use super::*;
use crate::random::Seeded;

const SALT: u64 = 0x5a17;

fn options() -> WalOptions {
    WalOptions { segment_bytes: 4096, ..WalOptions::new(SALT) }
}

fn entry(index: u64, term: u64, data: &[u8]) -> Entry {
    Entry { index, term, data: data.to_vec().into(), ..Entry::default() }
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit, ..HardState::default() }
}

fn position(index: u64, term: u64) -> Position {
    Position { index, term }
}

fn open(disk: &FaultyDisk) -> Result<(Wal<FaultyDisk>, Recovered), StoreError> {
    remove_partial(disk)?;
    Wal::open(disk.clone(), options(), Position::default())
}

/// What the log should hold, beside the real one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    hard_state: HardState,
    base: Position,
    entries: Vec<Entry>,
}

impl Model {
    fn last(&self) -> Position {
        self.entries.last().map_or(self.base, |e| position(e.index, e.term))
    }

    fn append(&mut self, entries: &[Entry], hard_state: Option<&HardState>) {
        for entry in entries {
            self.entries.truncate((entry.index - self.base.index - 1) as usize);
            self.entries.push(entry.clone());
        }
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
    }

    fn is(&self, recovered: &Recovered) -> bool {
        self.entries == recovered.entries && self.hard_state == recovered.hard_state
    }
}

#[test]
fn what_was_appended_comes_back() {
    let disk = FaultyDisk::new("log");
    let (mut wal, recovered) = open(&disk).unwrap();
    assert!(recovered.blank);
    let mut change = entry(2, 1, b"");
    change.entry_type = EntryType::EntryConfChangeV2;
    change.context = b"why".to_vec().into();
    let all = vec![entry(1, 1, b"one"), change, entry(3, 2, &[0; 100])];
    wal.append(&all[..2], Some(&hard_state(1, 3, 0))).unwrap();
    wal.append(&all[2..], Some(&hard_state(2, 1, 2))).unwrap();
    wal.sync().unwrap();
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries, all);
    assert_eq!(recovered.hard_state, hard_state(2, 1, 2));
    assert_eq!(wal.last(), position(3, 2));
    assert!(!recovered.blank && recovered.cut.is_none());
}

#[test]
fn an_append_is_one_write_and_a_sync_one_sync() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    let batch: Vec<_> = (1..=20).map(|i| entry(i, 1, b"data")).collect();
    let (writes, syncs) = (disk.writes(), disk.syncs());
    wal.append(&batch, Some(&hard_state(1, 1, 0))).unwrap();
    wal.sync().unwrap();
    wal.sync().unwrap(); // nothing new: nothing to do
    assert_eq!((disk.writes() - writes, disk.syncs() - syncs), (1, 1));
}

#[test]
fn a_lower_index_replaces_the_tail() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(1, 1, b"a"), entry(2, 1, b"b"), entry(3, 1, b"c")], None).unwrap();
    wal.append(&[entry(2, 2, b"B")], None).unwrap();
    wal.sync().unwrap();
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries, [entry(1, 1, b"a"), entry(2, 2, b"B")]);
}

#[test]
fn torn_at_every_byte_keeps_whole_appends_and_all_that_was_synced() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    let mut model = Model::default();
    let mut append = |wal: &mut Wal<_>, data: &[u8], state: Option<HardState>| {
        let entries = [entry(model.last().index + 1, 1, data)];
        wal.append(&entries, state.as_ref()).unwrap();
        model.append(&entries, state.as_ref());
        model.clone()
    };
    append(&mut wal, b"synced", Some(hard_state(1, 1, 0)));
    let synced = append(&mut wal, &[7; 700], None);
    wal.sync().unwrap();
    // Unsynced: small, one that ends in zeroes, one over several sectors.
    let steps = [
        synced,
        append(&mut wal, b"a", Some(hard_state(2, 2, 1))),
        append(&mut wal, &[0; 40], None),
        append(&mut wal, &[9; 1300], None),
    ];
    let mut seen = [false; 4];
    for bytes in 0..=disk.unsynced_bytes() {
        let torn = disk.fork();
        torn.crash(CrashModel::Prefix(bytes), &mut Seeded::new(0));
        let (mut wal, recovered) = open(&torn).unwrap_or_else(|e| panic!("{bytes} bytes: {e}"));
        let step = steps.iter().position(|m| m.is(&recovered));
        let step = step.unwrap_or_else(|| panic!("{bytes} bytes: not one of the states"));
        seen[step] = true;
        // The log goes on from there.
        let next = entry(wal.last().index + 1, 5, b"next");
        wal.append(std::slice::from_ref(&next), None).unwrap();
        wal.sync().unwrap();
        torn.crash(CrashModel::LoseAll, &mut Seeded::new(0));
        let (_, again) = open(&torn).unwrap();
        assert_eq!(again.entries.last(), Some(&next));
        assert!(again.cut.is_none());
    }
    assert_eq!(seen, [true; 4]);
}

/// Random appends, truncations, syncs, spares, resets and purges, then a crash; many rounds on
/// one disk. `Wal::open` must come back with a state between the last sync and the last append.
fn crash_rounds(seed: u64, rounds: u64) {
    let disk = FaultyDisk::new("log");
    let mut random = Seeded::new(seed);
    let mut snapshot = Position::default();
    let mut term = 1;
    let mut states = vec![Model::default()];
    for round in 0..rounds {
        remove_partial(&disk).unwrap();
        let (mut wal, recovered) = Wal::open(disk.clone(), options(), snapshot)
            .unwrap_or_else(|e| panic!("seed {seed} round {round}: {e}"));
        let at = states.iter().rposition(|m| {
            let mut m = m.clone();
            m.entries.retain(|e| e.index > snapshot.index);
            m.is(&recovered)
        });
        let at = at.unwrap_or_else(|| {
            panic!("seed {seed} round {round}: {recovered:?} is none of {states:#?}")
        });
        let mut model = states[at].clone();
        states = vec![model.clone()];
        for _ in 0..random.range(1, 30) {
            match random.below(16) {
                0 => {
                    prepare_spare(&disk, &options()).unwrap();
                }
                1 => {
                    // A snapshot of something applied, hence committed and synced.
                    wal.sync().unwrap();
                    let last = model.last().index;
                    let index = random.range(snapshot.index, last);
                    let known = model.entries.iter().find(|e| e.index == index);
                    if let Some(e) = known {
                        snapshot = position(e.index, e.term);
                        let state = hard_state(term, model.hard_state.vote, index);
                        wal.append(&[], Some(&state)).unwrap();
                        wal.sync().unwrap();
                        wal.purge(index).unwrap();
                        model.append(&[], Some(&state));
                    }
                    states = vec![model.clone()];
                }
                2 if random.chance(1, 4) => {
                    snapshot = position(model.last().index + random.range(1, 9), term);
                    wal.reset(snapshot).unwrap();
                    let mut state = model.hard_state.clone();
                    state.commit = state.commit.max(snapshot.index);
                    if state.term < term {
                        state.term = term;
                        state.vote = 0;
                    }
                    model = Model { hard_state: state, base: snapshot, entries: Vec::new() };
                    states = vec![model.clone()];
                }
                3..=6 => {
                    wal.sync().unwrap();
                    states = vec![model.clone()];
                }
                _ => {
                    let floor = model.hard_state.commit.max(model.base.index);
                    let last = model.last().index;
                    let replaces = random.chance(1, 6) && floor < last;
                    let first = if replaces { random.range(floor + 1, last) } else { last + 1 };
                    term += u64::from(replaces);
                    let entries: Vec<_> = (first..first + random.below(4))
                        .map(|index| {
                            let fill = random.next_u64() as u8 & 3;
                            entry(index, term, &vec![fill; random.below(900) as usize])
                        })
                        .collect();
                    let state = random
                        .chance(1, 3)
                        .then(|| hard_state(term, random.below(3), model.hard_state.commit));
                    wal.append(&entries, state.as_ref()).unwrap();
                    model.append(&entries, state.as_ref());
                    states.push(model.clone());
                }
            }
        }
        match random.below(6) {
            0 | 1 => disk.process_died(),
            2 => disk.crash(CrashModel::LoseAll, &mut random),
            3 => disk.crash(CrashModel::KeepAll, &mut random),
            _ => disk.crash(CrashModel::Random, &mut random),
        }
    }
}

#[test]
fn random_crashes_lose_nothing_synced_and_invent_nothing() {
    for seed in 0..150 {
        crash_rounds(seed, 12);
    }
}

#[test]
fn rot_anywhere_is_refused_or_harmless() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    let mut model = Model::default();
    for index in 1..=12 {
        let entries = [entry(index, 1, &[index as u8; 600])];
        wal.append(&entries, Some(&hard_state(1, 1, index - 1))).unwrap();
        wal.sync().unwrap();
        model.append(&entries, Some(&hard_state(1, 1, index - 1)));
    }
    let mut refused = 0;
    for name in disk.list().unwrap() {
        let last_segment = name == segment_name(3);
        for offset in 0..disk.content(&name).len() as u64 {
            let rotten = disk.fork();
            rotten.rot(&name, offset, (offset % 8) as u8);
            match open(&rotten) {
                Ok((_, recovered)) => {
                    // Past the end, or in the padding: nothing is lost. Only the last append
                    // can be taken for a torn one, where its rot made a zero of its last byte.
                    assert!(last_segment || model.is(&recovered), "{name} {offset}");
                    assert!(recovered.entries.len() >= 11, "{name} {offset}");
                }
                Err(StoreError::Damage { path, .. }) => {
                    assert!(path.starts_with("log/log-"), "{path}");
                    refused += 1;
                }
                Err(StoreError::Version { .. }) => panic!("the checksum comes first"),
                Err(e) => panic!("{name} {offset}: {e}"),
            }
        }
    }
    assert!(refused > 12 * 600, "only {refused} were refused");
}

#[test]
fn damage_names_file_and_offset() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    for index in 1..=3 {
        wal.append(&[entry(index, 1, b"0123456789")], None).unwrap();
        wal.sync().unwrap();
    }
    // The second frame starts after the head and a frame of 24 + 28 + 10 + 1 bytes, aligned.
    disk.rot(&segment_name(1), 96 + 64 + 40, 0);
    let error = open(&disk).err().unwrap().to_string();
    let start = "`log/log-0000000000000001.wal` is damaged at offset 160: wrong checksum, and the \
                 record at offset 224 was written after this one had been synced";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn a_whole_but_rotten_last_record_is_not_taken_for_a_torn_one() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(1, 1, b"0123456789")], None).unwrap();
    wal.sync().unwrap();
    disk.rot(&segment_name(1), 96 + 40, 0);
    assert!(open(&disk).err().unwrap().is_damage());
}

#[test]
fn frames_planted_by_a_client_do_not_count() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    for index in 1..=2 {
        wal.append(&[entry(index, 1, b"0123456789")], None).unwrap();
        wal.sync().unwrap();
    }
    // The bytes of the second frame, which vouches for all before it, as data.
    let frame = disk.content(&segment_name(1))[160..224].to_vec();
    wal.append(&[entry(3, 1, &frame.repeat(20))], None).unwrap();
    disk.crash(CrashModel::Prefix(1000), &mut Seeded::new(0));
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries.len(), 2);
    assert_eq!(recovered.cut.unwrap().offset, 224);
}

#[test]
fn a_missing_committed_entry_is_refused() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(1, 1, b"a")], Some(&hard_state(1, 1, 2))).unwrap();
    wal.sync().unwrap();
    let error = open(&disk).err().unwrap().to_string();
    assert!(error.contains("entry 2 was committed"), "{error}");
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    disk.set_capacity(Some(3 * 4096 + 100));
    let mut synced = 0;
    let error = loop {
        let index = synced + 1;
        match wal.append(&[entry(index, 1, &[1; 500])], None).and_then(|()| wal.sync()) {
            Ok(()) => synced = index,
            Err(e) => break e,
        }
    };
    assert!(error.is_full() && error.to_string().contains("free space"), "{error}");
    assert!(matches!(wal.append(&[entry(synced + 1, 1, b"")], None), Err(StoreError::Poisoned)));
    // A start on the full disk works, and goes on once there is space.
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries.len() as u64, synced);
    disk.set_capacity(None);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(synced + 1, 1, &[1; 500])], None).unwrap();
    wal.sync().unwrap();
    assert_eq!(open(&disk).unwrap().1.entries.len() as u64, synced + 1);
}

#[test]
fn after_a_failed_fsync_the_log_takes_nothing_more() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(1, 1, b"kept")], None).unwrap();
    wal.sync().unwrap();
    wal.append(&[entry(2, 1, b"lost")], None).unwrap();
    disk.fail_syncs(1);
    assert!(wal.sync().is_err());
    assert!(matches!(wal.sync(), Err(StoreError::Poisoned)));
    disk.crash(CrashModel::KeepAll, &mut Seeded::new(0));
    assert_eq!(open(&disk).unwrap().1.entries, [entry(1, 1, b"kept")]);
}

#[test]
fn what_a_failed_fsync_left_in_the_page_cache_is_written_again() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&[entry(1, 1, b"in the cache")], None).unwrap();
    disk.fail_syncs(1);
    assert!(wal.sync().is_err());
    disk.process_died();
    // The next process reads it from the cache, and may therefore not lose it any more.
    assert_eq!(open(&disk).unwrap().1.entries.len(), 1);
    disk.crash(CrashModel::LoseAll, &mut Seeded::new(0));
    assert_eq!(open(&disk).unwrap().1.entries.len(), 1);
}

#[test]
fn a_torn_tail_whose_clearing_failed_is_cleared_again() {
    let mut cut = 0;
    for seed in 0..300 {
        let disk = FaultyDisk::new("log");
        let (mut wal, _) = open(&disk).unwrap();
        wal.append(&[entry(1, 1, b"synced")], None).unwrap();
        wal.sync().unwrap();
        for index in 2..10 {
            wal.append(&[entry(index, 1, &[7; 200])], None).unwrap();
        }
        disk.crash(CrashModel::Random, &mut Seeded::new(seed));
        disk.fail_syncs(1);
        if open(&disk).is_err() {
            disk.process_died();
            cut += 1;
        }
        // What comes next is shorter: what was torn would stand right behind it.
        let (mut wal, recovered) = open(&disk).unwrap();
        let next = recovered.entries.len() as u64 + 1;
        wal.append(&[entry(next, 2, b"new")], None).unwrap();
        wal.sync().unwrap();
        disk.crash(CrashModel::LoseAll, &mut Seeded::new(seed));
        let again = open(&disk).unwrap_or_else(|e| panic!("seed {seed}: {e}")).1;
        assert_eq!(again.entries.len() as u64, next, "seed {seed}");
        assert_eq!(again.entries.last().map(|entry| entry.term), Some(2), "seed {seed}");
    }
    assert!(cut > 100, "{cut} of 300 had something to clear");
}

#[test]
fn purge_keeps_what_the_snapshot_does_not_cover() {
    let disk = FaultyDisk::new("log");
    let (mut wal, _) = open(&disk).unwrap();
    for index in 1..=40 {
        wal.append(&[entry(index, 1, &[1; 500])], Some(&hard_state(1, 2, index - 1))).unwrap();
    }
    wal.sync().unwrap();
    let before = disk.list().unwrap().len();
    wal.purge(25).unwrap();
    assert!(disk.list().unwrap().len() + 3 <= before);
    let (_, recovered) = Wal::open(disk.clone(), options(), position(25, 1)).unwrap();
    assert_eq!(recovered.entries.first().unwrap().index, 26);
    assert_eq!(recovered.entries.len(), 15);
    assert_eq!(recovered.hard_state, hard_state(1, 2, 39));
    // An older snapshot does not reach the log: refused.
    let error = Wal::open(disk, options(), position(3, 1)).err().unwrap().to_string();
    assert!(error.contains("newest readable snapshot ends at 3"), "{error}");
}

#[test]
fn a_received_snapshot_starts_the_log_anew_also_when_reset_never_ran() {
    for reset_ran in [false, true] {
        let disk = FaultyDisk::new("log");
        let (mut wal, _) = open(&disk).unwrap();
        wal.append(&[entry(1, 1, b"a"), entry(2, 1, b"b")], Some(&hard_state(3, 2, 1))).unwrap();
        wal.sync().unwrap();
        let snapshot = position(100, 3);
        if reset_ran {
            wal.reset(snapshot).unwrap();
            wal.append(&[entry(101, 3, b"c")], None).unwrap();
            wal.sync().unwrap();
        }
        disk.crash(CrashModel::LoseAll, &mut Seeded::new(0));
        let (mut wal, recovered) = Wal::open(disk.clone(), options(), snapshot).unwrap();
        assert_eq!(recovered.entries.len(), usize::from(reset_ran));
        assert_eq!(recovered.hard_state, hard_state(3, 2, 100));
        wal.append(&[entry(101, 3, b"c")], None).unwrap();
        wal.sync().unwrap();
        assert_eq!(Wal::open(disk, options(), snapshot).unwrap().1.entries.len(), 1);
    }
}

#[test]
fn a_snapshot_without_a_log_is_refused() {
    let opened = Wal::open(FaultyDisk::new("log"), options(), position(7, 1));
    assert!(opened.err().unwrap().to_string().contains("votes given are forgotten"));
}

#[test]
fn identity_is_made_once_and_guards_the_directory() {
    let disk = FaultyDisk::new("data");
    let mut identity = Identity::open_or_create(&disk, 3, 0xabc).unwrap();
    disk.crash(CrashModel::LoseAll, &mut Seeded::new(0));
    assert_eq!(Identity::open_or_create(&disk, 3, 0xdef).unwrap(), identity);
    let error = Identity::open_or_create(&disk, 2, 1).err().unwrap().to_string();
    assert!(error.contains("belongs to member 3, but `myid` says 2"), "{error}");
    identity.join(&disk, 5).unwrap();
    identity.join(&disk, 5).unwrap();
    assert!(identity.join(&disk, 6).err().unwrap().to_string().contains("belongs to ensemble"));
    let read = Identity::read(&disk).unwrap().unwrap();
    assert_eq!(read, Identity { myid: 3, cluster_id: 5, incarnation: 0xabc });
    disk.rot("identity", 30, 1);
    assert!(Identity::read(&disk).err().unwrap().is_damage());
}

#[test]
fn check_tells_sound_from_damaged_and_changes_nothing() {
    let disk = FaultyDisk::new("dir");
    Identity::open_or_create(&disk, 1, 1).unwrap();
    let (mut wal, _) = open(&disk).unwrap();
    for index in 1..=3 {
        wal.append(&[entry(index, 1, b"0123456789")], Some(&hard_state(1, 1, 0))).unwrap();
        wal.sync().unwrap();
    }
    write_snapshot(&disk, 2).unwrap();
    wal.append(&[entry(4, 1, &[1; 100])], None).unwrap();
    disk.crash(CrashModel::Prefix(60), &mut Seeded::new(0));
    let writes = disk.writes();
    let report = check(&disk, &disk);
    assert!(report.is_sound(), "{report}");
    assert_eq!(
        report.found,
        [
            "identity: member 1, ensemble 00000000000000000000000000000000",
            "snapshot `snapshot-0000000000000002-0000000000000004.snap`: index 2, term 4, \
             5 chunks, 1500 bytes",
            "log: 1 segments, 3 appends, entries 1 to 3, term 1, vote 1, commit 0",
            "log: unacknowledged tail of 60 bytes at offset 360 of \
             `log-0000000000000001.wal`, cut at the next start",
        ]
    );
    assert_eq!(disk.writes(), writes);
    disk.rot(&segment_name(1), 200, 3);
    assert!(check(&disk, &disk).to_string().contains("DAMAGED: `dir/log-0000000000000001.wal`"));
}

#[test]
fn a_real_directory_behaves_and_is_locked() {
    let directory = std::env::temp_dir().join(format!("coordinator-store-{}", std::process::id()));
    let disk = RealDisk::open(&directory).unwrap();
    assert!(matches!(RealDisk::open(&directory), Err(StoreError::Locked { .. })));
    assert!(matches!(RealDisk::open_to_read(&directory), Err(StoreError::Locked { .. })));
    let open = || Wal::open(disk.clone(), options(), Position::default());
    let (mut wal, _) = open().unwrap();
    let all: Vec<_> = (1..=30).map(|i| entry(i, 1, &[2; 500])).collect();
    for entry in &all {
        if wal.wants_spare() {
            prepare_spare(&disk, &options()).unwrap();
        }
        wal.append(std::slice::from_ref(entry), None).unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    let (wal, recovered) = open().unwrap();
    assert_eq!(recovered.entries, all);
    drop(wal);
    drop(disk);
    let report = check(
        &RealDisk::open_to_read(&directory).unwrap(),
        &RealDisk::open_to_read(&directory).unwrap(),
    );
    assert!(report.is_sound(), "{report}");
    std::fs::remove_dir_all(&directory).unwrap();
}
