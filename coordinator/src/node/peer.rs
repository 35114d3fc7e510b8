//! What servers say to each other on the quorum port, once each has proved who it is.
//!
//! A message is `kind u8` and a payload (little-endian); the edge frames it with its length.
//! Only raft's own messages are protobuf, and those are decoded from authenticated peers alone.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message as RaftMessage};

use super::protobuf_groups;
use crate::bytes::take;

/// Largest message a server accepts from another: a full append plus slack.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

const KIND_RAFT: u8 = 1;
const KIND_FORWARD: u8 = 2;
const KIND_REPORT: u8 = 3;
const KIND_REPORT_ACK: u8 = 4;
const KIND_REGISTER: u8 = 5;
const KIND_SNAPSHOT_FAILED: u8 = 6;
const KIND_ALIVE: u8 = 7;
const KIND_DIGEST: u8 = 8;

/// A message between servers.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerMessage<'a> {
    Raft(Box<RaftMessage>),
    /// Writes of the sender's sessions, for the leader to propose.
    Forward {
        boot: u64,
        first_sequence: u64,
        count: u32,
        ops: &'a [u8],
    },
    /// Sessions heard from since the last report; asks the leader to confirm that it leads.
    Report {
        number: u64,
        sessions: Sessions<'a>,
    },
    /// The leader has counted report `number`.
    ReportAck {
        number: u64,
    },
    /// The sender starts a new stream of writes and asks for it to be recorded.
    Register {
        boot: u64,
    },
    /// The sender could not fetch the snapshot it was offered.
    SnapshotFailed,
    /// The sender is there, and has nothing else to say.
    Alive,
    /// What the sender's state was when the entry was applied that began this round.
    Digest {
        round: u64,
        digest: u64,
    },
    /// Of a kind that only a later release knows; to be passed over.
    Unknown(u8),
}

/// Session ids in a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sessions<'a>(&'a [u8]);

impl Sessions<'_> {
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id))
    }
}

/// A message that no server of this version sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMessage;

pub fn raft(message: &RaftMessage, out: &mut Vec<u8>) {
    out.push(KIND_RAFT);
    message.write_to_vec(out).expect("a raft message of ours is complete");
}

pub fn forward(boot: u64, first_sequence: u64, count: u32, ops: &[u8], out: &mut Vec<u8>) {
    out.push(KIND_FORWARD);
    out.extend_from_slice(&boot.to_le_bytes());
    out.extend_from_slice(&first_sequence.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(ops);
}

pub fn report(number: u64, sessions: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    out.push(KIND_REPORT);
    out.extend_from_slice(&number.to_le_bytes());
    for session in sessions {
        out.extend_from_slice(&session.to_le_bytes());
    }
}

pub fn report_ack(number: u64, out: &mut Vec<u8>) {
    out.push(KIND_REPORT_ACK);
    out.extend_from_slice(&number.to_le_bytes());
}

pub fn register(boot: u64, out: &mut Vec<u8>) {
    out.push(KIND_REGISTER);
    out.extend_from_slice(&boot.to_le_bytes());
}

pub fn snapshot_failed(out: &mut Vec<u8>) {
    out.push(KIND_SNAPSHOT_FAILED);
}

pub fn alive(out: &mut Vec<u8>) {
    out.push(KIND_ALIVE);
}

pub fn digest(round: u64, digest: u64, out: &mut Vec<u8>) {
    out.push(KIND_DIGEST);
    out.extend_from_slice(&round.to_le_bytes());
    out.extend_from_slice(&digest.to_le_bytes());
}

/// Reads one message of an authenticated peer.
pub fn parse(bytes: &[u8]) -> Result<PeerMessage<'_>, BadMessage> {
    let (&[kind], mut rest) = bytes.split_first_chunk().ok_or(BadMessage)?;
    let input = &mut rest;
    let message = match kind {
        KIND_RAFT => {
            let bytes = std::mem::take(input);
            if !protobuf_groups::are_absent(bytes, &protobuf_groups::MESSAGE) {
                return Err(BadMessage);
            }
            let message = RaftMessage::parse_from_bytes(bytes).map_err(|_| BadMessage)?;
            let follow = |pair: &[Entry]| pair[1].index == pair[0].index.wrapping_add(1);
            if !message.entries.iter().all(has_readable_change)
                || !message.entries.windows(2).all(follow)
            {
                return Err(BadMessage);
            }
            PeerMessage::Raft(Box::new(message))
        }
        KIND_FORWARD => PeerMessage::Forward {
            boot: number(input)?,
            first_sequence: number(input)?,
            count: u32::from_le_bytes(take(input).ok_or(BadMessage)?),
            ops: std::mem::take(input),
        },
        KIND_REPORT => {
            let number = number(input)?;
            if !input.len().is_multiple_of(8) {
                return Err(BadMessage);
            }
            PeerMessage::Report { number, sessions: Sessions(std::mem::take(input)) }
        }
        KIND_REPORT_ACK => PeerMessage::ReportAck { number: number(input)? },
        KIND_REGISTER => PeerMessage::Register { boot: number(input)? },
        KIND_SNAPSHOT_FAILED => PeerMessage::SnapshotFailed,
        KIND_ALIVE => PeerMessage::Alive,
        KIND_DIGEST => PeerMessage::Digest { round: number(input)?, digest: number(input)? },
        0 => return Err(BadMessage),
        unknown => {
            *input = &[];
            PeerMessage::Unknown(unknown)
        }
    };
    if input.is_empty() { Ok(message) } else { Err(BadMessage) }
}

/// Whether an entry that changes the membership can be decoded without risk: it is refused here,
/// before it reaches the log.
fn has_readable_change(entry: &Entry) -> bool {
    match entry.get_entry_type() {
        EntryType::EntryNormal => true,
        EntryType::EntryConfChange => false, // this server proposes the second version only
        EntryType::EntryConfChangeV2 => {
            protobuf_groups::are_absent(&entry.data, &protobuf_groups::CONF_CHANGE)
                && ConfChangeV2::parse_from_bytes(&entry.data).is_ok()
        }
    }
}

fn number(input: &mut &[u8]) -> Result<u64, BadMessage> {
    take(input).map(u64::from_le_bytes).ok_or(BadMessage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went_out() {
        let mut out = Vec::new();
        forward(1, 2, 3, b"ops", &mut out);
        let expected = PeerMessage::Forward { boot: 1, first_sequence: 2, count: 3, ops: b"ops" };
        assert_eq!(parse(&out), Ok(expected));

        out.clear();
        report(4, [5, -6].into_iter(), &mut out);
        let Ok(PeerMessage::Report { number: 4, sessions }) = parse(&out) else {
            panic!("{out:?}")
        };
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [5, -6]);

        out.clear();
        let message = RaftMessage { to: 1, from: 2, term: 3, ..RaftMessage::default() };
        raft(&message, &mut out);
        assert_eq!(parse(&out), Ok(PeerMessage::Raft(Box::new(message))));
    }

    #[test]
    fn a_change_of_members_that_cannot_be_read_is_refused() {
        let mut message = RaftMessage::default();
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        message.entries = vec![entry.clone()].into();
        let mut out = Vec::new();
        raft(&message, &mut out);
        assert!(parse(&out).is_ok(), "an empty change leaves joint consensus");
        entry.data = vec![0x0b; 1 << 20].into();
        message.entries = vec![entry.clone()].into();
        out.clear();
        raft(&message, &mut out);
        assert_eq!(parse(&out), Err(BadMessage));
    }

    #[test]
    fn what_a_later_release_sends_is_named() {
        assert_eq!(parse(b"\xc8 whatever"), Ok(PeerMessage::Unknown(200)));
        assert_eq!(parse(b"\x07"), Ok(PeerMessage::Alive));
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        for bytes in [&b""[..], b"\0", b"\x07x", b"\x04abc", b"\x03\0\0\0\0\0\0\0\0x", b"\x06x"] {
            assert_eq!(parse(bytes), Err(BadMessage), "{bytes:?}");
        }
    }
}
