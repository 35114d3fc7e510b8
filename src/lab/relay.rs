//! A wire with delay and loss: two taps, and a process that carries each frame from one to the other,
//! late. For machines whose kernel has no `netem`; it ends when its taps are taken away.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tappers::{Interface, Tap};

use crate::failure::Failure;

/// Frames under way in one direction; what comes on top is lost, as on any full wire.
const UNDER_WAY_MAX: usize = 20_000;

/// An Ethernet frame of a tap with the usual MTU, with room for a tag.
const FRAME_BYTES_MAX: usize = 2048;

/// What a wire does to frames, in either direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// How much later a frame arrives.
    pub delay: Duration,
    /// How many of a thousand frames never arrive.
    pub loss_permille: u16,
}

struct Frame {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries frames between two taps, which it makes, until they are taken away.
pub fn carry(one: &str, other: &str, wire: Wire) -> Result<(), Failure> {
    let (one, other) = (tap(one)?, tap(other)?);
    let ways = [(&one, &other, 1), (&other, &one, 2)].map(|(from, to, seed)| {
        let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        thread::spawn(move || send(&to, &receiver));
        thread::spawn(move || receive(&from, &sender, wire, seed))
    });
    for way in ways {
        let _ = way.join();
    }
    Ok(())
}

fn tap(name: &str) -> Result<Arc<Tap>, Failure> {
    Interface::new(name)
        .and_then(Tap::new_named)
        .map(Arc::new)
        .map_err(|error| Failure::failed(format!("cannot make the tap `{name}`: {error}")))
}

/// Ends when the tap is gone.
fn receive(from: &Tap, sender: &SyncSender<Frame>, wire: Wire, seed: u64) {
    let mut dice = Dice(seed);
    let mut bytes = [0; FRAME_BYTES_MAX];
    loop {
        match from.recv(&mut bytes) {
            Ok(count) if dice.keeps(wire.loss_permille) => {
                let due = Instant::now() + wire.delay;
                let _ = sender.try_send(Frame { due, bytes: bytes[..count].to_vec() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Not up yet.
            Err(error) if error.raw_os_error() == Some(5) => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return,
        }
    }
}

fn send(to: &Tap, receiver: &Receiver<Frame>) {
    for frame in receiver {
        thread::sleep(frame.due.saturating_duration_since(Instant::now()));
        // A tap that is down takes nothing: the frame is lost, as it would be.
        let _ = to.send(&frame.bytes);
    }
}

/// The same losses in each run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn keeps(&mut self, loss_permille: u16) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 1000 >= u64::from(loss_permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_as_often_as_asked() {
        for permille in [0, 10, 500, 1000] {
            let mut dice = Dice(7);
            let lost = (0..100_000).filter(|_| !dice.keeps(permille)).count();
            assert!(lost.abs_diff(usize::from(permille) * 100) < 700, "{permille}: {lost}");
        }
    }
}
