//! Seeds that once failed, with what they found. Each runs before fresh ones. It replays its fault
//! only with the simulator of its time: every change of load or faults draws other runs.

pub const FAILED: &[(u64, &str)] = &[
    (1, "a write pipelined behind a sync was answered before it"),
    (2, "a log that had not heard of the commit of its own snapshot stopped the start"),
    (8, "what a failed fsync had left in the page cache was taken for durable"),
    (9, "raft batched entries behind an empty append of another index: phantom acknowledgements"),
    (10, "the same, with messages overtaken on a live connection"),
    (41, "a lost acknowledgement was never repeated: the follower stayed behind forever"),
    (
        100_043,
        "read-index contexts of several servers and runs were alike: a sync answered too early",
    ),
    (100_105, "raft drew election timeouts from a source of its own: the run did not repeat"),
    (300_002, "an election right after a received snapshot looked for entries before it: panic"),
    (501_407, "the answer to a snapshot offered again was held back as one given already"),
    (
        5084,
        "a leader restarted from a snapshot, with a slow clock, stamped earlier than the one before",
    ),
    (
        20_004_274,
        "a wiped server that had come back and led was refused by one that knew its old directory",
    ),
    (
        20_025_991,
        "a leader found its own removal in the log, and raft looked for it among the members",
    ),
    (
        20_046_857,
        "a wiped member that had caught up half-way and connected anew never got its vote back",
    ),
    (20_071_639, "a checker missed a session that a server made and ended within one step"),
    (
        20_115_219,
        "all lost power while the ensemble was founded: one had joined it, and none dared to vote",
    ),
    (20_208_405, "a leader with a slow disk served a session whose end the others had applied"),
    (
        20_304_630,
        "word of a higher term was lost, and never repeated: the candidate stayed outside",
    ),
    (
        40_069_392,
        "a torn tail was cleared in the page cache alone: a later power cut brought it back",
    ),
    (61_008_278, "a member without a vote stood for election and led: nobody gave it one"),
    (
        62_012_321,
        "a restart forgot a change of members that its log did not call committed: no majority",
    ),
    (2_001_528, "a client took the ground for laid when the server had died half-way"),
    (
        17_960_800_288,
        "a wiped member was no member for a moment: the level rose above what its release knows",
    ),
    (
        17_960_808_268,
        "each snapshot that a far member was offered had been replaced when it asked for it",
    ),
    (
        96_001_081,
        "a checker waited for a majority between two damaged voters and two sound ones: there is none",
    ),
    (
        97_001_121,
        "the operator waited for a member that differs, and its empty disk for the operator",
    ),
    (97_002_123, "the same, with the list half-way"),
];
