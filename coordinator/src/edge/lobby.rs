//! Connections to members' ports, and to the TLS ports of clients, that have not shown yet who they
//! are: few, for a short time, and none at the cost of another address.
//!
//! There is always room for one more: the oldest of the address that has the most gives way, one of
//! the server list last. So whoever opens many takes places from itself alone, and a member gets in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Places of members in all.
const PLACES: usize = 32;
/// Places of one address of members.
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
pub(super) struct Lobby {
    places: usize,
    places_of_address: usize,
    time: Duration,
    strangers: BTreeMap<usize, Stranger>,
    /// The same, in the order in which they came.
    of_address: BTreeMap<IpAddr, BTreeSet<usize>>,
    /// Sent away since the last look, without a line in the log each.
    pub turned_away: u64,
}

impl Default for Lobby {
    /// Of a port of members.
    fn default() -> Self {
        Lobby::new(PLACES, PLACES_OF_ADDRESS, HANDSHAKE_TIME)
    }
}

impl Lobby {
    /// So many places, at most so many for one address, for so long.
    pub(super) fn new(places: usize, places_of_address: usize, time: Duration) -> Self {
        let (strangers, of_address) = (BTreeMap::new(), BTreeMap::new());
        Lobby { places, places_of_address, time, strangers, of_address, turned_away: 0 }
    }

    /// How long a stranger may take.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// `number` comes in, the highest so far; the one returned has to go for it.
    pub(super) fn enter(
        &mut self,
        number: usize,
        (ip, listed): (IpAddr, bool),
        now: Instant,
    ) -> Option<usize> {
        let ip = ip.to_canonical();
        let own = self.of_address.get(&ip);
        let oldest = if own.is_some_and(|own| own.len() >= self.places_of_address) {
            own.and_then(BTreeSet::first)
        } else if self.strangers.len() >= self.places {
            let oldest = self.of_address.values().filter_map(|own| Some((own.len(), own.first()?)));
            let crowd = |&(count, at): &(usize, &usize)| {
                (!self.strangers.get(at).is_some_and(|one| one.listed), count, Reverse(*at))
            };
            oldest.max_by_key(crowd).map(|(_, at)| at)
        } else {
            None
        };
        let oldest = oldest.copied();
        if let Some(oldest) = oldest {
            self.leave(oldest);
            self.turned_away += 1;
        }
        self.strangers.insert(number, Stranger { ip, listed, since: now });
        self.of_address.entry(ip).or_default().insert(number);
        oldest
    }

    /// It has shown who it is, or is gone.
    pub(super) fn leave(&mut self, number: usize) {
        let Some(stranger) = self.strangers.remove(&number) else { return };
        if let Some(own) = self.of_address.get_mut(&stranger.ip) {
            own.remove(&number);
            if own.is_empty() {
                self.of_address.remove(&stranger.ip);
            }
        }
    }

    /// Whoever has taken too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<usize> {
        let late = |stranger: &Stranger| now.duration_since(stranger.since) > self.time;
        let numbers: Vec<usize> =
            self.strangers.iter().filter(|(_, s)| late(s)).map(|(&at, _)| at).collect();
        for &number in &numbers {
            self.leave(number);
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
    fn one_address_may_have_all_places_until_another_comes() {
        let mut lobby = Lobby::new(100, 100, HANDSHAKE_TIME);
        let now = Instant::now();
        for number in 0..100 {
            assert_eq!(lobby.enter(number, (ip(9), false), now), None, "a storm from one host");
        }
        for number in 100..150 {
            let gone = lobby.enter(number, (ip(number as u8), false), now);
            assert_eq!(gone, Some(number - 100), "the oldest of the crowd");
        }
        for number in 150..1000 {
            let gone = lobby.enter(number, (ip(9), false), now);
            assert!(gone.is_some_and(|gone| !(100..150).contains(&gone)), "a crowd's own");
        }
        assert_eq!(lobby.strangers.len(), 100);
        (100..150).for_each(|number| lobby.leave(number));
        assert_eq!((lobby.strangers.len(), lobby.of_address.len()), (50, 1));
        assert_eq!(lobby.take_late(now + HANDSHAKE_TIME * 2).len(), 50);
        assert!(lobby.of_address.is_empty());
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
