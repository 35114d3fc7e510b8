//! The thread that writes the server's own snapshots.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::completion::Completions;
use super::event_loop::Clock;
use crate::driver::{SnapshotThread, SnapshotWork};
use crate::store::RealDisk;

/// Starts it; dropping the sender ends it.
pub(super) fn start(
    snapshots: SnapshotThread<RealDisk>,
    clock: Clock,
    completions: Completions,
) -> std::io::Result<Sender<SnapshotWork>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(move || run(snapshots, clock, &completions, &receiver))?;
    Ok(sender)
}

fn run(
    mut snapshots: SnapshotThread<RealDisk>,
    clock: Clock,
    completions: &Completions,
    work: &Receiver<SnapshotWork>,
) {
    for work in work {
        let step = snapshots.carry_out(work, || clock.now());
        std::thread::sleep(step.rest);
        for completion in step.completions {
            completions.send(completion);
        }
    }
}
