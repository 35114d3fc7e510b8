//! Connections to the peers' ports that have not shown yet who they are: few, for a short time, and
//! none at the cost of another address.
//!
//! There is always room for one more: the oldest of the address that has the most gives way, one of
//! the server list last. So whoever opens many takes places from itself alone, and a member gets in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Places in all.
const PLACES: usize = 32;
/// Places of one address.
const PLACES_OF_ADDRESS: usize = 8;
/// A handshake takes three round trips. Whoever has not shown by then who it is has to go.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(3);

struct Stranger {
    ip: IpAddr,
    /// From an address of the server list.
    listed: bool,
    since: Instant,
}

/// Who waits, by a number that grows with each.
#[derive(Default)]
pub(super) struct Lobby {
    strangers: BTreeMap<usize, Stranger>,
    /// Sent away since the last look, without a line in the log each.
    pub turned_away: u64,
}

impl Lobby {
    /// `number` comes in, the highest so far; the one returned has to go for it.
    pub(super) fn enter(
        &mut self,
        number: usize,
        (ip, listed): (IpAddr, bool),
        now: Instant,
    ) -> Option<usize> {
        let ip = ip.to_canonical();
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for stranger in self.strangers.values() {
            *counts.entry(stranger.ip).or_default() += 1;
        }
        let own = counts.get(&ip).copied().unwrap_or_default();
        let strangers = self.strangers.iter();
        let oldest = if own >= PLACES_OF_ADDRESS {
            strangers.filter(|(_, stranger)| stranger.ip == ip).map(|(&at, _)| at).next()
        } else if self.strangers.len() >= PLACES {
            let crowd = |s: &Stranger| (!s.listed, counts.get(&s.ip).copied());
            strangers.rev().max_by_key(|(_, stranger)| crowd(stranger)).map(|(&at, _)| at)
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.strangers.remove(&oldest);
            self.turned_away += 1;
        }
        self.strangers.insert(number, Stranger { ip, listed, since: now });
        oldest
    }

    /// It has shown who it is, or is gone.
    pub(super) fn leave(&mut self, number: usize) {
        self.strangers.remove(&number);
    }

    /// Whoever has taken too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<usize> {
        let late = |stranger: &Stranger| now.duration_since(stranger.since) > HANDSHAKE_TIME;
        let numbers: Vec<usize> =
            self.strangers.iter().filter(|(_, s)| late(s)).map(|(&at, _)| at).collect();
        for number in &numbers {
            self.strangers.remove(number);
        }
        self.turned_away += numbers.len() as u64;
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_crowd_takes_places_from_itself_alone() {
        let mut lobby = Lobby::default();
        let now = Instant::now();
        assert_eq!(lobby.enter(0, (ip(1), true), now), None, "a member");
        for number in 1..=PLACES_OF_ADDRESS {
            assert_eq!(lobby.enter(number, (ip(9), false), now), None);
        }
        assert_eq!(lobby.enter(100, (ip(9), false), now), Some(1), "its own oldest");
        assert_eq!(lobby.enter(101, (ip(9), false), now), Some(2));
        for number in 0..PLACES {
            let gone = lobby.enter(200 + number, (ip(20 + number as u8), false), now);
            assert_ne!(gone, Some(0), "the member's place is its own");
        }
        assert!(lobby.strangers.len() <= PLACES);
        assert!(
            lobby.enter(300, (ip(2), true), now).is_some_and(|gone| gone != 0),
            "another member"
        );
    }

    #[test]
    fn nobody_stays_long() {
        let mut lobby = Lobby::default();
        let now = Instant::now();
        lobby.enter(1, (ip(1), false), now);
        lobby.enter(2, (ip(2), false), now + HANDSHAKE_TIME);
        lobby.leave(3);
        assert_eq!(lobby.take_late(now + HANDSHAKE_TIME), [0usize; 0]);
        assert_eq!(lobby.take_late(now + HANDSHAKE_TIME * 3 / 2), [1]);
        lobby.leave(2);
        assert_eq!(lobby.take_late(now + HANDSHAKE_TIME * 3), [0usize; 0]);
    }
}
