//! Refuses protobuf groups before the `protobuf` crate decodes a message of a peer.
//!
//! `protobuf` 2 skips an unknown group by recursion without a limit (RUSTSEC-2024-0437), so nested
//! start-group tags overflow the stack and end the process. `raft` 0.7 needs that version, and its
//! messages contain no groups: this scan follows raft's schema (`eraftpb.proto`), so its own
//! recursion ends with the schema, and skips all other fields by their length.

/// The submessages of a message, by field number.
pub(super) struct Schema(&'static [(u64, &'static Schema)]);

const LEAF: Schema = Schema(&[]);
const SNAPSHOT_METADATA: Schema = Schema(&[(1, &LEAF)]);
const SNAPSHOT: Schema = Schema(&[(2, &SNAPSHOT_METADATA)]);
/// `eraftpb.Message`: `entries` and `snapshot`.
pub(super) const MESSAGE: Schema = Schema(&[(7, &LEAF), (9, &SNAPSHOT)]);
/// `eraftpb.ConfChangeV2`: `changes`.
pub(super) const CONF_CHANGE: Schema = Schema(&[(2, &LEAF)]);

/// Whether `bytes` are a well-formed message without groups. Linear in the number of fields.
pub(super) fn are_absent(mut bytes: &[u8], schema: &Schema) -> bool {
    while !bytes.is_empty() {
        let Some(tag) = varint(&mut bytes) else { return false };
        let ok = match tag & 7 {
            0 => varint(&mut bytes).is_some(),
            1 => skip(&mut bytes, 8).is_some(),
            2 => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                let Some(inner) = length.and_then(|length| skip(&mut bytes, length)) else {
                    return false;
                };
                let known = schema.0.iter().find(|(field, _)| *field == tag >> 3);
                known.is_none_or(|(_, schema)| are_absent(inner, schema))
            }
            5 => skip(&mut bytes, 4).is_some(),
            _ => false, // groups, and wire types that do not exist
        };
        if !ok {
            return false;
        }
    }
    true
}

fn skip<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (skipped, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(skipped)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use protobuf::Message as _;
    use raft::eraftpb::{ConfChangeSingle, ConfChangeV2, Entry, Message};

    use super::*;

    const START_GROUP: u8 = 14 << 3 | 3;

    #[test]
    fn what_raft_sends_passes() {
        let mut message = Message { to: 3, term: u64::MAX, priority: -1, ..Message::default() };
        message.entries =
            vec![Entry { data: vec![0x0b; 300].into(), ..Entry::default() }; 3].into();
        message.mut_snapshot().mut_metadata().mut_conf_state().voters = vec![1, 2, 300];
        assert!(are_absent(&message.write_to_bytes().unwrap(), &MESSAGE));
        let mut change = ConfChangeV2 { context: vec![0x0b].into(), ..ConfChangeV2::default() };
        change.changes =
            vec![ConfChangeSingle { node_id: 9, ..ConfChangeSingle::default() }].into();
        assert!(are_absent(&change.write_to_bytes().unwrap(), &CONF_CHANGE));
    }

    #[test]
    fn nested_groups_are_refused_wherever_they_stand() {
        let groups = vec![START_GROUP; 1 << 20];
        let within = |field: u8, inner: &[u8]| {
            let mut bytes = vec![field << 3 | 2];
            let mut length = inner.len();
            while length >= 0x80 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend_from_slice(inner);
            bytes
        };
        assert!(!are_absent(&groups, &MESSAGE));
        assert!(!are_absent(&within(7, &groups), &MESSAGE));
        let metadata = within(2, &within(1, &groups));
        assert!(!are_absent(&within(9, &metadata), &MESSAGE));
        assert!(!are_absent(&within(2, &groups), &CONF_CHANGE));
        // In an entry's data they are bytes like any others.
        assert!(are_absent(&within(7, &within(4, &groups)), &MESSAGE));
    }

    #[test]
    fn a_cut_message_is_refused() {
        let message = Message { term: 1 << 40, ..Message::default() };
        let bytes = message.write_to_bytes().unwrap();
        assert!(!are_absent(&bytes[..bytes.len() - 1], &MESSAGE));
        assert!(!are_absent(&[0xff; 11], &MESSAGE));
    }
}
