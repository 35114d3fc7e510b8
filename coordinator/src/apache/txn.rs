//! A txn as it stands in a log: who, when, and what changes. All was decided already: a version is
//! the one the znode has afterwards, a sequential name is final.

use crate::wire::jute::{DecodeError, Reader, Strings};

/// What every txn begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session that asked for it, or that it is about.
    pub client: i64,
    pub zxid: i64,
    pub time_ms: i64,
    kind: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Persistent,
    Ephemeral,
    Container,
    Ttl(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    /// `vector<ACL>`.
    pub acl: &'a [u8],
    pub lifetime: Lifetime,
    /// Of the parent afterwards; −1 is one more than it has.
    pub parent_cversion: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Create(Create<'a>),
    Delete {
        path: &'a str,
    },
    /// reconfig is one too.
    SetData {
        path: &'a str,
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetAcl {
        path: &'a str,
        acl: &'a [u8],
        aversion: i32,
    },
    CreateSession {
        timeout_ms: i32,
    },
    /// The paths since 3.6; the session's ephemerals go in any case.
    CloseSession {
        paths: Strings<'a>,
    },
    Multi(Multi<'a>),
    /// check, and what failed: a zxid is all they take.
    Nothing,
}

/// The parts of a multi, none of which is applied when one has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multi<'a> {
    count: usize,
    parts: &'a [u8],
}

/// Digest of the tree after a txn: version and value. Since 3.6.
pub type Digest = (i32, u64);

/// Takes a txn apart; every byte of it must have a meaning.
pub fn decode(bytes: &[u8]) -> Result<(Header, Change<'_>, Option<Digest>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let client = reader.long()?;
    let _cxid = reader.int()?;
    let header =
        Header { client, zxid: reader.long()?, time_ms: reader.long()?, kind: reader.int()? };
    let change = change(header.kind, &mut reader)?;
    let digest = match reader.remaining() {
        0 => None,
        12 => Some((reader.int()?, reader.long()? as u64)),
        _ => return Err(DecodeError::BadLength(reader.remaining() as i32)),
    };
    Ok((header, change, digest))
}

/// The zxid alone.
pub fn zxid(bytes: &[u8]) -> Result<i64, DecodeError> {
    Ok(decode_header(bytes)?.zxid)
}

fn decode_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let mut reader = Reader::new(bytes);
    let client = reader.long()?;
    let _cxid = reader.int()?;
    Ok(Header { client, zxid: reader.long()?, time_ms: reader.long()?, kind: reader.int()? })
}

fn change<'a>(kind: i32, reader: &mut Reader<'a>) -> Result<Change<'a>, DecodeError> {
    Ok(match kind {
        -1 => {
            reader.int()?;
            Change::Nothing
        }
        1 | 15 | 19 | 21 => Change::Create(create(kind, reader)?),
        2 | 20 => Change::Delete { path: reader.string()? },
        5 | 16 => Change::SetData {
            path: reader.string()?,
            data: reader.buffer()?,
            version: reader.int()?,
        },
        7 => Change::SetAcl { path: reader.string()?, acl: acl(reader)?, aversion: reader.int()? },
        13 => {
            reader.string()?;
            reader.int()?;
            Change::Nothing
        }
        14 => {
            let count = reader.count(8)?.unwrap_or(0);
            let start = reader.rest();
            for _ in 0..count {
                reader.int()?;
                reader.buffer()?;
            }
            let parts = &start[..start.len() - reader.remaining()];
            let multi = Multi { count, parts };
            // Whatever cannot be read is found before anything is changed.
            for part in multi.parts() {
                part?;
            }
            Change::Multi(multi)
        }
        -10 => Change::CreateSession { timeout_ms: reader.int()? },
        -11 => Change::CloseSession { paths: closed_paths(reader) },
        other => return Err(DecodeError::BadOp(other)),
    })
}

fn create<'a>(kind: i32, reader: &mut Reader<'a>) -> Result<Create<'a>, DecodeError> {
    let (path, data, acl) = (reader.string()?, reader.buffer()?, acl(reader)?);
    let mut lifetime = match kind {
        19 => Lifetime::Container,
        21 => Lifetime::Ttl(0),
        _ if reader.boolean()? => Lifetime::Ephemeral,
        _ => Lifetime::Persistent,
    };
    // Servers before 3.4 wrote no parent's cversion, and nothing follows then.
    let old = kind == 1 && reader.remaining() == 0;
    let parent_cversion = if old { -1 } else { reader.int()? };
    if let Lifetime::Ttl(ms) = &mut lifetime {
        *ms = reader.long()?;
    }
    Ok(Create { path, data, acl, lifetime, parent_cversion })
}

/// `vector<ACL>` as bytes, once its entries were seen to be there.
fn acl<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let start = reader.rest();
    crate::wire::acl::AclList::decode(reader)?;
    Ok(&start[..start.len() - reader.remaining()])
}

/// Whether a digest or the paths stand here is told by what fits: a txn without paths has a digest
/// or nothing, and paths begin with a slash.
fn closed_paths<'a>(reader: &mut Reader<'a>) -> Strings<'a> {
    let mut ahead = *reader;
    match Strings::decode(&mut ahead) {
        Ok(paths)
            if matches!(ahead.remaining(), 0 | 12) && paths.iter().all(|p| p.starts_with('/')) =>
        {
            *reader = ahead;
            paths
        }
        _ => Strings::EMPTY,
    }
}

impl<'a> Multi<'a> {
    /// In order; what was decided to fail is [`Change::Nothing`], and so then are all others.
    pub fn parts(self) -> impl Iterator<Item = Result<Change<'a>, DecodeError>> {
        let mut reader = Reader::new(self.parts);
        let failed = self.kinds().any(|kind| kind == -1);
        (0..self.count).map(move |_| {
            let kind = reader.int()?;
            let mut record = Reader::new(reader.buffer()?.unwrap_or_default());
            if failed {
                return Ok(Change::Nothing);
            }
            match kind {
                1 | 2 | 5 | 13 | 15 | 19 | 20 | 21 => {}
                other => return Err(DecodeError::BadOp(other)),
            }
            let part = change(kind, &mut record)?;
            match record.remaining() {
                0 => Ok(part),
                more => Err(DecodeError::BadLength(more as i32)),
            }
        })
    }

    fn kinds(self) -> impl Iterator<Item = i32> {
        let mut reader = Reader::new(self.parts);
        (0..self.count).map_while(move |_| {
            let kind = reader.int().ok()?;
            reader.buffer().ok()?;
            Some(kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jute::{put_buffer, put_int, put_long, put_string};

    fn txn(kind: i32, record: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_long(&mut out, 7);
        put_int(&mut out, 1);
        put_long(&mut out, 9);
        put_long(&mut out, 1000);
        put_int(&mut out, kind);
        out.extend_from_slice(record);
        out
    }

    fn digest(out: &mut Vec<u8>) {
        put_int(out, 2);
        put_long(out, 0x1234_5678);
    }

    #[test]
    fn the_end_of_a_session_has_paths_or_none_and_a_digest_or_none() {
        let mut paths = Vec::new();
        put_int(&mut paths, 1);
        put_string(&mut paths, "/e");
        let mut with_digest = paths.clone();
        digest(&mut with_digest);
        let mut digest_alone = Vec::new();
        digest(&mut digest_alone);
        for (record, paths, digested) in [
            (&[][..], 0, false),
            (&paths, 1, false),
            (&with_digest, 1, true),
            (&digest_alone, 0, true),
        ] {
            let bytes = txn(-11, record);
            let (_, change, digest) = decode(&bytes).unwrap();
            let Change::CloseSession { paths: found } = change else { panic!("{change:?}") };
            assert_eq!((found.len(), digest.is_some()), (paths, digested));
        }
    }

    #[test]
    fn a_multi_of_which_a_part_failed_changes_nothing() {
        let mut delete = Vec::new();
        put_string(&mut delete, "/a");
        for (kinds, changes) in [(&[2, 2][..], 2), (&[2, -1, -1], 0)] {
            let mut record = Vec::new();
            put_int(&mut record, kinds.len() as i32);
            for kind in kinds {
                put_int(&mut record, *kind);
                put_buffer(&mut record, Some(if *kind == 2 { &delete } else { &[0, 0, 0, 0] }));
            }
            let bytes = txn(14, &record);
            let (_, Change::Multi(multi), _) = decode(&bytes).unwrap() else { panic!() };
            let deletes = multi.parts().filter(|p| matches!(p, Ok(Change::Delete { .. }))).count();
            assert_eq!(deletes, changes);
        }
    }

    #[test]
    fn a_create_from_before_3_4_has_no_cversion() {
        let mut record = Vec::new();
        put_string(&mut record, "/a");
        put_buffer(&mut record, None);
        put_int(&mut record, 0);
        record.push(1);
        let bytes = txn(1, &record);
        let (header, change, _) = decode(&bytes).unwrap();
        let Change::Create(create) = change else { panic!("{change:?}") };
        assert_eq!((header.zxid, create.parent_cversion), (9, -1));
        assert_eq!((create.lifetime, create.data), (Lifetime::Ephemeral, None));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(decode(&txn(99, &[])).unwrap_err(), DecodeError::BadOp(99));
    }
}
