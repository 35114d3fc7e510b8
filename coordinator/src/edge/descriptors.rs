//! File descriptors: clients get what the log, snapshots and members do not need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::logging::Logger;

/// What a server alone opens beside its clients' connections: segments of the log, snapshots,
/// somebody who asks over HTTP.
const RESERVE: u64 = 48;
/// For each member: both links, one on its way, a snapshot that is sent and its file.
const RESERVE_PER_MEMBER: u64 = 6;
/// Fewer than this, and a server is told to have few.
const FEW: u64 = 256;

/// How many clients may be connected at a time. Raises the limit of the process as far as it may.
pub(super) fn for_clients(members: usize, logger: Logger) -> usize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { before };
    let Some(limit) = limit.current else { return usize::MAX };
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    let clients = left_for_clients(limit, open, members as u64);
    if limit < FEW {
        logger.warn(&format!(
            "the limit of open files is {limit}: {clients} clients at most; raise `LimitNOFILE`"
        ));
    }
    usize::try_from(clients).unwrap_or(usize::MAX)
}

/// Where there are few, half of what is left is kept back.
fn left_for_clients(limit: u64, open: u64, members: u64) -> u64 {
    let left = limit.saturating_sub(open);
    let reserve = RESERVE + RESERVE_PER_MEMBER * members;
    left.saturating_sub(reserve.min(left.div_ceil(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_and_members_come_first() {
        assert_eq!(left_for_clients(1024, 24, 3), 1000 - 48 - 18);
        assert_eq!(left_for_clients(48, 20, 1), 14);
        assert_eq!(left_for_clients(20, 20, 3), 0);
        assert_eq!(left_for_clients(10, 20, 3), 0);
    }
}
