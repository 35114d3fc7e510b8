//! The data of one raft entry: the leader's time stamp and the writes that arrived meanwhile.
//!
//! Layout (little-endian): version `u8`, from version 2 on the feature level `u16`, time `i64` ms,
//! then segments to the end, each `kind u8`, `length u32`, payload. One entry carries the writes of
//! many clients of many servers; what a server forwarded in one piece stays one segment.
//!
//! What a server meets that is newer than itself stops it: the others understand it, and go on.
//! What is not newer and cannot be read means nothing to any server, and changes nothing on any.

use std::fmt;

use super::feature::{COMPARES, LEVEL};
use crate::bytes::take;

/// The layout without a level, which stands for level 0.
const PLAIN: u8 = 1;
const LEVELLED: u8 = 2;

const KIND_OPS: u8 = 1;
const KIND_LEADER_OPS: u8 = 2;
const KIND_REGISTER: u8 = 3;
const KIND_FOUND: u8 = 4;
const KIND_INCARNATION: u8 = 5;
const KIND_LEVEL: u8 = 6;
const KIND_ENFORCE_QUOTAS: u8 = 7;
const KIND_TERMS: u8 = 8;
const KIND_COMPARE: u8 = 9;
const KIND_VERDICT: u8 = 10;

/// A piece of a raft entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Writes of the sessions that `origin` serves, numbered from `first_sequence`.
    Ops { origin: u8, boot: u64, first_sequence: u64, count: u32, ops: &'a [u8] },
    /// Writes of the leader itself (expiry, reaping): they hold in its own term or not at all.
    LeaderOps { ops: &'a [u8] },
    /// `origin` starts a new stream of writes.
    Register { origin: u8, boot: u64 },
    /// The first leader gives the ensemble its id and the key of session passwords.
    Found { cluster_id: u128, secret: [u8; 32] },
    /// The data directory of a member that had none recorded.
    Incarnation { id: u8, incarnation: u128 },
    /// Every member knows this feature level: what it brings may be used from here on.
    Level { level: u16 },
    /// What follows in this entry keeps to hard quotas: its leader has `enforceQuota`.
    EnforceQuotas,
    /// On which terms this leader takes changes of members, in the entry that asks for one.
    Terms { flags: u8, synced: &'a [u8] },
    /// Every member makes the digest of its state as it is here.
    Compare,
    /// The digest that a majority of the voters had in the round begun by this entry.
    Verdict { index: u64, digest: u64 },
}

/// Why an entry means nothing to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEntry {
    /// No release writes such bytes.
    Unreadable,
    /// A later release wrote it, in this layout or with this feature level.
    Newer { layout: u8, level: u16, known: u16 },
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it is no entry of any release"),
            Self::Newer { layout, level, known } => write!(
                f,
                "a newer coordinator wrote it (layout {layout}, feature level {level}; this one \
                 knows layout {LEVELLED} and level {known})"
            ),
        }
    }
}

/// Starts an entry of the ensemble's feature level with the leader's time stamp.
pub fn begin(level: u16, time_ms: i64) -> Vec<u8> {
    let mut data = Vec::with_capacity(512);
    if level == 0 {
        data.push(PLAIN);
    } else {
        data.push(LEVELLED);
        data.extend_from_slice(&level.to_le_bytes());
    }
    data.extend_from_slice(&time_ms.to_le_bytes());
    data
}

/// The time stamp of an entry; `None` for one that cannot be read here.
pub fn time_ms(data: &[u8]) -> Option<i64> {
    parse(data, LEVEL).ok().map(|(time_ms, _)| time_ms)
}

impl Segment<'_> {
    /// Appends the segment to an entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 5]);
        let kind = match *self {
            Segment::Ops { origin, boot, first_sequence, count, ops } => {
                out.push(origin);
                out.extend_from_slice(&boot.to_le_bytes());
                out.extend_from_slice(&first_sequence.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(ops);
                KIND_OPS
            }
            Segment::LeaderOps { ops } => {
                out.extend_from_slice(ops);
                KIND_LEADER_OPS
            }
            Segment::Register { origin, boot } => {
                out.push(origin);
                out.extend_from_slice(&boot.to_le_bytes());
                KIND_REGISTER
            }
            Segment::Found { cluster_id, secret } => {
                out.extend_from_slice(&cluster_id.to_le_bytes());
                out.extend_from_slice(&secret);
                KIND_FOUND
            }
            Segment::Incarnation { id, incarnation } => {
                out.push(id);
                out.extend_from_slice(&incarnation.to_le_bytes());
                KIND_INCARNATION
            }
            Segment::Level { level } => {
                out.extend_from_slice(&level.to_le_bytes());
                KIND_LEVEL
            }
            Segment::EnforceQuotas => KIND_ENFORCE_QUOTAS,
            Segment::Terms { flags, synced } => {
                out.push(flags);
                out.extend_from_slice(synced);
                KIND_TERMS
            }
            Segment::Compare => KIND_COMPARE,
            Segment::Verdict { index, digest } => {
                out.extend_from_slice(&index.to_le_bytes());
                out.extend_from_slice(&digest.to_le_bytes());
                KIND_VERDICT
            }
        };
        let length = (out.len() - at - 5) as u32;
        out[at] = kind;
        out[at + 1..at + 5].copy_from_slice(&length.to_le_bytes());
    }
}

/// Reads an entry as a server that knows levels up to `known`: its time stamp and its segments in
/// order.
pub fn parse(data: &[u8], known: u16) -> Result<(i64, Segments<'_>), BadEntry> {
    let mut rest = data;
    let [layout] = take(&mut rest).ok_or(BadEntry::Unreadable)?;
    let level = match layout {
        PLAIN => 0,
        LEVELLED => u16::from_le_bytes(take(&mut rest).ok_or(BadEntry::Unreadable)?),
        0 => return Err(BadEntry::Unreadable),
        layout => return Err(BadEntry::Newer { layout, level: 0, known }),
    };
    if level > known {
        return Err(BadEntry::Newer { layout, level, known });
    }
    let time = take(&mut rest).ok_or(BadEntry::Unreadable)?;
    Ok((i64::from_le_bytes(time), Segments { level, rest }))
}

/// The segments of one entry.
pub struct Segments<'a> {
    /// A kind that is not of this level yet is one that nobody knows, as for a server of that level.
    level: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, BadEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let segment = self.segment();
        if segment.is_none() {
            self.rest = &[];
        }
        Some(segment.ok_or(BadEntry::Unreadable))
    }
}

impl<'a> Segments<'a> {
    fn segment(&mut self) -> Option<Segment<'a>> {
        let [kind] = take(&mut self.rest)?;
        let length = u32::from_le_bytes(take(&mut self.rest)?) as usize;
        let (mut payload, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let input = &mut payload;
        let segment = match kind {
            KIND_OPS => {
                let [origin] = take(input)?;
                let boot = u64::from_le_bytes(take(input)?);
                let first_sequence = u64::from_le_bytes(take(input)?);
                let count = u32::from_le_bytes(take(input)?);
                Segment::Ops { origin, boot, first_sequence, count, ops: std::mem::take(input) }
            }
            KIND_LEADER_OPS => Segment::LeaderOps { ops: std::mem::take(input) },
            KIND_REGISTER => {
                let [origin] = take(input)?;
                Segment::Register { origin, boot: u64::from_le_bytes(take(input)?) }
            }
            KIND_FOUND => Segment::Found {
                cluster_id: u128::from_le_bytes(take(input)?),
                secret: take(input)?,
            },
            KIND_INCARNATION => {
                let [id] = take(input)?;
                Segment::Incarnation { id, incarnation: u128::from_le_bytes(take(input)?) }
            }
            KIND_LEVEL => Segment::Level { level: u16::from_le_bytes(take(input)?) },
            KIND_ENFORCE_QUOTAS => Segment::EnforceQuotas,
            KIND_TERMS => {
                let [flags] = take(input)?;
                Segment::Terms { flags, synced: std::mem::take(input) }
            }
            KIND_COMPARE if self.level >= COMPARES => Segment::Compare,
            KIND_VERDICT if self.level >= COMPARES => Segment::Verdict {
                index: u64::from_le_bytes(take(input)?),
                digest: u64::from_le_bytes(take(input)?),
            },
            _ => return None,
        };
        input.is_empty().then_some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_back_as_they_went_in() {
        let all = [
            Segment::Ops { origin: 3, boot: 9, first_sequence: 4, count: 2, ops: b"abc" },
            Segment::LeaderOps { ops: b"x" },
            Segment::Register { origin: 2, boot: 1 },
            Segment::Found { cluster_id: 5, secret: [7; 32] },
            Segment::EnforceQuotas,
            Segment::Incarnation { id: 1, incarnation: 6 },
            Segment::Level { level: 1 },
        ];
        for level in 0..=LEVEL {
            let mut data = begin(level, -5);
            for segment in &all {
                segment.encode(&mut data);
            }
            let (time, segments) = parse(&data, LEVEL).unwrap();
            assert_eq!(time, -5);
            assert_eq!(segments.map(Result::unwrap).collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn what_a_level_does_not_have_yet_is_no_segment_of_it() {
        let new = [Segment::Compare, Segment::Verdict { index: 7, digest: 9 }];
        for level in 0..=LEVEL {
            for segment in &new {
                let mut data = begin(level, 1);
                segment.encode(&mut data);
                let (_, mut segments) = parse(&data, LEVEL).unwrap();
                let expected =
                    if level >= COMPARES { Ok(*segment) } else { Err(BadEntry::Unreadable) };
                assert_eq!(segments.next(), Some(expected), "level {level}");
            }
        }
        assert!(matches!(
            parse(&begin(COMPARES, 1), COMPARES - 1),
            Err(BadEntry::Newer { level: COMPARES, known: 1, .. })
        ));
    }

    #[test]
    fn what_a_later_release_writes_is_told_from_damage() {
        let newer = |data: &[u8]| matches!(parse(data, LEVEL), Err(BadEntry::Newer { .. }));
        assert!(newer(&begin(LEVEL + 1, 7)));
        assert!(newer(b"\x03anything"));
        assert!(!newer(&begin(LEVEL, 7)));
        assert!(!newer(b"\0") && !newer(b"\x02\0"));
    }

    #[test]
    fn a_cut_entry_is_an_error_and_never_a_panic() {
        let mut data = begin(0, 1);
        Segment::Register { origin: 2, boot: 1 }.encode(&mut data);
        for end in 0..data.len() {
            let whole =
                parse(&data[..end], LEVEL).is_ok_and(|(_, s)| s.into_iter().all(|s| s.is_ok()));
            assert_eq!(whole, end == 9, "cut at {end}");
        }
    }
}
