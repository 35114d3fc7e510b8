//! Which of several members' directories counts: the one whose member Apache ZooKeeper would elect.
//!
//! A write is acknowledged once a majority has it in its logs, so of a majority's directories the
//! one with the greatest epoch, then zxid, has all that was acknowledged
//! (`FastLeaderElection.totalOrderPredicate`).

use std::fs;
use std::path::Path;

use super::directory;
use super::error::ReadError;
use super::load::Source;
use super::log::Log;
use super::txn;

/// Text files of a number; longer ones are none.
const NUMBER_BYTES_MAX: u64 = 64;

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch it last followed or led in; that of its zxid where there is no such file.
    pub current_epoch: u32,
    /// The newest epoch it has agreed to.
    pub accepted_epoch: u32,
    pub last_zxid: i64,
    pub myid: Option<u64>,
}

impl Standing {
    pub fn of(source: &Source) -> Result<Self, ReadError> {
        let last_zxid = last_zxid(source)?;
        let of_zxid = (last_zxid >> 32) as u32;
        let current_epoch = number(&source.data, "currentEpoch")?.unwrap_or(of_zxid);
        let accepted_epoch = number(&source.data, "acceptedEpoch")?.unwrap_or(current_epoch);
        let myid = fs::read_to_string(above(&source.data).join("myid")).ok();
        let myid = myid.and_then(|text| text.lines().next()?.trim().parse().ok());
        Ok(Self { current_epoch, accepted_epoch, last_zxid, myid })
    }

    /// What an election compares.
    fn vote(&self) -> (u32, i64, u64) {
        (self.current_epoch, self.last_zxid, self.myid.unwrap_or(0))
    }

    /// No zxid that this member has written or promised to write is in a later epoch.
    pub fn epoch(&self) -> u64 {
        let of_zxid = (self.last_zxid >> 32) as u32;
        u64::from(self.current_epoch.max(self.accepted_epoch).max(of_zxid))
    }
}

/// The one that an election would choose.
pub fn elect(standings: &[Standing]) -> Option<usize> {
    (0..standings.len()).max_by_key(|at| (standings[*at].vote(), std::cmp::Reverse(*at)))
}

/// `dataDir`, also for a path that is `version-2` itself.
fn above(configured: &Path) -> &Path {
    if directory::version_2(configured) == configured {
        configured.parent().unwrap_or(configured)
    } else {
        configured
    }
}

fn number(configured: &Path, name: &str) -> Result<Option<u32>, ReadError> {
    let path = directory::version_2(configured).join(name);
    let text = match fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > NUMBER_BYTES_MAX => String::new(),
        _ => fs::read_to_string(&path).map_err(|e| ReadError::io(&path, e))?,
    };
    match text.trim().parse::<u32>() {
        Ok(number) if i32::try_from(number).is_ok() => Ok(Some(number)),
        _ => Err(ReadError::damage(&path, 0, "it holds no epoch")),
    }
}

/// The last txn of the logs, or the newest snapshot where that is later.
fn last_zxid(source: &Source) -> Result<i64, ReadError> {
    let logs = directory::logs(&source.log).map_err(|e| ReadError::io(&source.log, e))?;
    let snapshots =
        directory::snapshots(&source.data).map_err(|e| ReadError::io(&source.data, e))?;
    let mut last = snapshots.first().map_or(0, |file| file.zxid);
    for file in logs.iter().rev() {
        let mut log = Log::open(&file.path)?;
        let mut found = None;
        loop {
            let path = file.path.as_path();
            let Some((at, bytes)) = log.next()? else { break };
            let zxid = txn::zxid(bytes)
                .map_err(|e| ReadError::damage(path, at, format!("the txn: {e}")))?;
            found = Some(zxid);
        }
        if let Some(zxid) = found {
            if zxid < 0 {
                return Err(ReadError::damage(&file.path, 0, format!("zxid {zxid:#x}")));
            }
            last = last.max(zxid);
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_counts_before_the_zxid() {
        let standing = |current_epoch, last_zxid| Standing {
            current_epoch,
            accepted_epoch: current_epoch,
            last_zxid,
            myid: None,
        };
        // A deposed leader has logged much that nobody took over.
        let standings = [standing(1, 0x1_0000_0063), standing(2, 0x1_0000_0007), standing(2, 0)];
        assert_eq!(elect(&standings), Some(1));
        assert_eq!(elect(&[]), None);
        assert_eq!(elect(&[standing(1, 5), standing(1, 5)]), Some(0));
    }
}
