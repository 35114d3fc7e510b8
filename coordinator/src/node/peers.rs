//! The other servers, as far as the links to them tell: who is linked, what each has said of
//! itself, when it was heard, and what is to be sent to it.

use std::collections::BTreeMap;

use super::peer;

/// A snapshot that a member did not take up is offered again after this.
const OFFER_AGAIN_MS: u64 = 5000;

/// What servers tell each other before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHello {
    pub id: u8,
    /// 0 while the ensemble is not founded as far as the sender knows.
    pub cluster_id: u128,
    pub incarnation: u128,
    /// The sender's data directory was empty and it has not caught up since.
    pub blank: bool,
    /// Participants and observers of the sender's configuration, in order.
    pub members: Vec<u8>,
    /// Incarnations that the sender's state and log know.
    pub known: Vec<(u8, u128)>,
    /// The feature level that the sender understands.
    pub level: u16,
}

/// Another server.
#[derive(Default)]
struct Peer {
    /// Both know who the other is, and messages get through.
    up: bool,
    hello: Option<PeerHello>,
    /// Its directory is empty, though this leader knows that it has held entries.
    lost_its_log: bool,
    /// When anything was heard from it.
    heard_ms: u64,
    /// The same by the attentive clock, or when the link came up.
    heard_attentive_ms: u64,
    /// A message of a kind that only a later release knows was reported.
    unknown_reported: bool,
    /// As leader: when a snapshot was offered to it.
    offered_ms: Option<u64>,
    /// Framed messages for it.
    output: Vec<u8>,
}

/// All other servers of the ensemble.
pub(super) struct Peers {
    /// This server's own id.
    me: u8,
    others: BTreeMap<u8, Peer>,
}

impl Peers {
    pub(super) fn new(me: u8, members: impl IntoIterator<Item = u8>) -> Self {
        let others = members.into_iter().filter(|&id| id != me);
        Peers { me, others: others.map(|id| (id, Peer::default())).collect() }
    }

    pub(super) fn contains(&self, id: u8) -> bool {
        self.others.contains_key(&id)
    }

    pub(super) fn ids(&self) -> Vec<u8> {
        self.others.keys().copied().collect()
    }

    /// The members have changed: those that `stays` does not want and that are not linked are
    /// forgotten.
    pub(super) fn adopt(&mut self, members: impl Iterator<Item = u8>, stays: impl Fn(u8) -> bool) {
        for id in members.filter(|&id| id != self.me) {
            self.others.entry(id).or_default();
        }
        self.others.retain(|&id, peer| peer.up || stays(id));
    }

    // ---- links ----

    /// Messages get through to this server; to oneself always.
    pub(super) fn is_up(&self, id: u8) -> bool {
        id == self.me || self.others.get(&id).is_some_and(|peer| peer.up)
    }

    /// More than half of these are linked.
    pub(super) fn majority_is_up(&self, voters: &[u64]) -> bool {
        voters.iter().filter(|&&id| self.is_up(id as u8)).count() * 2 > voters.len()
    }

    /// A link to `hello.id` is up. `held_entries`: this leader knows that the server had some.
    pub(super) fn connect(&mut self, hello: PeerHello, held_entries: bool, attentive_ms: u64) {
        let Some(peer) = self.others.get_mut(&hello.id) else { return };
        // It had entries of this leader a moment ago, and now another directory, an empty one.
        let same = peer.hello.as_ref().is_some_and(|h| h.incarnation == hello.incarnation);
        peer.lost_its_log = hello.blank && held_entries && (peer.lost_its_log || !same);
        peer.hello = Some(hello);
        peer.heard_attentive_ms = attentive_ms;
        peer.unknown_reported = false;
        if !std::mem::replace(&mut peer.up, true) {
            peer.output.clear();
        }
    }

    /// The link is down. `false`: it was already, or there is no such server.
    pub(super) fn disconnect(&mut self, id: u8) -> bool {
        let Some(peer) = self.others.get_mut(&id).filter(|peer| peer.up) else { return false };
        peer.up = false;
        peer.output.clear();
        true
    }

    pub(super) fn heard(&mut self, id: u8, now_ms: u64, attentive_ms: u64) {
        if let Some(peer) = self.others.get_mut(&id) {
            peer.heard_ms = now_ms;
            peer.heard_attentive_ms = attentive_ms;
        }
    }

    /// When a linked server was last heard.
    pub(super) fn heard_ms(&self, id: u8) -> Option<u64> {
        self.others.get(&id).filter(|peer| peer.up).map(|peer| peer.heard_ms)
    }

    /// Linked servers of which nothing was heard for so long; each is named again after as long.
    pub(super) fn take_silent(&mut self, attentive_ms: u64, silence_ms: u64) -> Vec<u8> {
        let mut silent = Vec::new();
        for (&id, peer) in &mut self.others {
            if peer.up && attentive_ms.saturating_sub(peer.heard_attentive_ms) >= silence_ms {
                peer.heard_attentive_ms = attentive_ms;
                silent.push(id);
            }
        }
        silent
    }

    /// A server has sent a kind of message that this release does not know. `true` the first time
    /// over this link.
    pub(super) fn unknown_is_news(&mut self, id: u8) -> bool {
        let peer = self.others.get_mut(&id);
        peer.is_some_and(|peer| !std::mem::replace(&mut peer.unknown_reported, true))
    }

    // ---- what they say of themselves ----

    /// What a server has said of itself, linked or not.
    pub(super) fn hello(&self, id: u8) -> Option<&PeerHello> {
        self.others.get(&id).and_then(|peer| peer.hello.as_ref())
    }

    /// What all servers have said of themselves, linked or not.
    pub(super) fn hellos(&self) -> impl Iterator<Item = &PeerHello> {
        self.others.values().filter_map(|peer| peer.hello.as_ref())
    }

    /// What the linked ones have said.
    pub(super) fn linked(&self) -> impl Iterator<Item = &PeerHello> {
        self.others.values().filter(|peer| peer.up).filter_map(|peer| peer.hello.as_ref())
    }

    pub(super) fn lost_its_log(&self, id: u8) -> bool {
        self.others.get(&id).is_some_and(|peer| peer.lost_its_log)
    }

    /// Whoever is no voter any more has made no promise that it could have lost.
    pub(super) fn forget_losses_but_of(&mut self, voters: &[u64]) {
        for (&id, peer) in &mut self.others {
            peer.lost_its_log &= voters.contains(&u64::from(id));
        }
    }

    // ---- messages ----

    /// Queues what `write` appends; it leaves when the edge has room for it. `false`: no link.
    pub(super) fn send_with(&mut self, to: u8, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(peer) = self.others.get_mut(&to).filter(|peer| peer.up) else { return false };
        let start = begin_frame(&mut peer.output);
        write(&mut peer.output);
        end_frame(&mut peer.output, start);
        true
    }

    /// Queues a message.
    pub(super) fn send(&mut self, to: u8, message: &[u8]) {
        self.send_with(to, |out| out.extend_from_slice(message));
    }

    /// What is to be sent to a server.
    pub(super) fn output(&mut self, id: u8) -> Option<&mut Vec<u8>> {
        self.others.get_mut(&id).map(|peer| &mut peer.output)
    }

    /// The servers to which raft has offered a snapshot that they have not taken up for long: raft
    /// sends them nothing else until it hears how the offer went, and the offer may be lost.
    pub(super) fn take_stale_offers(
        &mut self,
        now_ms: u64,
        offered: impl Fn(u8) -> bool,
    ) -> Vec<u8> {
        let mut stale = Vec::new();
        for (&id, peer) in &mut self.others {
            if !offered(id) {
                peer.offered_ms = None;
            } else if now_ms >= *peer.offered_ms.get_or_insert(now_ms) + OFFER_AGAIN_MS {
                peer.offered_ms = None;
                stale.push(id);
            }
        }
        stale
    }
}

fn begin_frame(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn end_frame(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&length.to_le_bytes());
}

/// Splits what is sent between servers: calls `each` for every complete message, returns the
/// bytes taken. `None`: a length that no server sends.
pub fn split_frames(bytes: &[u8], mut each: impl FnMut(&[u8])) -> Option<usize> {
    let mut taken = 0;
    while let Some((length, rest)) = bytes[taken..].split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        if length > peer::MESSAGE_BYTES_MAX {
            return None;
        }
        let Some(message) = rest.get(..length) else { break };
        each(message);
        taken += 4 + length;
    }
    Some(taken)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::node) fn hello(id: u8, incarnation: u128) -> PeerHello {
        PeerHello {
            id,
            cluster_id: 1,
            incarnation,
            blank: false,
            members: vec![1, 2, 3],
            known: Vec::new(),
            level: 1,
        }
    }

    /// Servers 2 and 3, seen by 1.
    fn peers() -> Peers {
        Peers::new(1, [1, 2, 3])
    }

    fn received(peers: &mut Peers, from: u8) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let output = peers.output(from).expect("a known server");
        let taken = split_frames(output, |message| messages.push(message.to_vec()));
        assert_eq!(taken, Some(output.len()));
        messages
    }

    #[test]
    fn messages_wait_for_a_link_that_stands_and_end_with_it() {
        let mut peers = peers();
        peers.send(2, b"before the link");
        peers.connect(hello(2, 20), false, 0);
        peers.send(2, b"one");
        assert!(peers.send_with(2, |out| out.extend_from_slice(b"two")));
        assert_eq!(received(&mut peers, 2), [b"one".to_vec(), b"two".to_vec()]);
        assert!(peers.disconnect(2) && !peers.disconnect(2));
        assert!(!peers.send_with(2, |_| panic!("there is no link")));
        peers.connect(hello(2, 20), false, 0);
        assert!(received(&mut peers, 2).is_empty(), "a half-sent message is not gone on with");
    }

    #[test]
    fn a_majority_counts_this_server() {
        let mut peers = peers();
        assert!(peers.majority_is_up(&[1]));
        assert!(!peers.majority_is_up(&[1, 2, 3]));
        peers.connect(hello(3, 30), false, 0);
        assert!(peers.majority_is_up(&[1, 2, 3]));
        assert!(!peers.majority_is_up(&[1, 2]));
    }

    #[test]
    fn an_empty_directory_is_a_lost_log_only_where_there_was_one_and_in_a_new_place() {
        let blank = |incarnation| PeerHello { blank: true, ..hello(2, incarnation) };
        let mut peers = peers();
        peers.connect(blank(20), false, 0);
        assert!(!peers.lost_its_log(2), "it never had entries");
        peers.connect(blank(20), true, 0);
        assert!(!peers.lost_its_log(2), "the directory that was empty before");
        peers.connect(blank(21), true, 0);
        assert!(peers.lost_its_log(2));
        peers.connect(blank(21), true, 0);
        assert!(peers.lost_its_log(2), "it has not caught up since");
        peers.forget_losses_but_of(&[1, 2]);
        assert!(peers.lost_its_log(2));
        peers.forget_losses_but_of(&[1, 3]);
        assert!(!peers.lost_its_log(2));
    }

    #[test]
    fn silence_counts_from_the_last_word_or_the_link_and_is_named_once() {
        let mut peers = peers();
        peers.connect(hello(2, 20), false, 1000);
        peers.connect(hello(3, 30), false, 1000);
        peers.heard(3, 5, 1050);
        assert_eq!(peers.take_silent(1099, 100), [0u8; 0]);
        assert_eq!(peers.take_silent(1100, 100), [2]);
        assert_eq!(peers.take_silent(1149, 100), [0u8; 0]);
        assert_eq!(peers.take_silent(1150, 100), [3]);
        assert_eq!(peers.heard_ms(3), Some(5));
        peers.disconnect(3);
        assert_eq!(peers.heard_ms(3), None);
        assert_eq!(peers.take_silent(9999, 100), [2], "a link that is down is not silent");
    }

    #[test]
    fn an_offer_that_nobody_takes_up_is_stale_after_a_while() {
        let mut peers = peers();
        assert_eq!(peers.take_stale_offers(0, |id| id == 2), [0u8; 0]);
        assert_eq!(peers.take_stale_offers(OFFER_AGAIN_MS - 1, |id| id == 2), [0u8; 0]);
        assert_eq!(peers.take_stale_offers(OFFER_AGAIN_MS, |id| id == 2), [2]);
        assert_eq!(peers.take_stale_offers(OFFER_AGAIN_MS, |id| id == 2), [0u8; 0], "anew");
        assert_eq!(peers.take_stale_offers(OFFER_AGAIN_MS + 1, |_| false), [0u8; 0]);
        assert_eq!(peers.take_stale_offers(3 * OFFER_AGAIN_MS, |id| id == 2), [0u8; 0]);
    }

    #[test]
    fn who_has_left_is_known_until_its_link_ends() {
        let mut peers = peers();
        peers.connect(hello(2, 20), false, 0);
        peers.adopt([1, 4].into_iter(), |id| id == 4);
        assert_eq!(peers.ids(), [2, 4]);
        peers.disconnect(2);
        peers.adopt([1, 4].into_iter(), |id| id == 4);
        assert_eq!(peers.ids(), [4]);
    }

    #[test]
    fn a_kind_of_a_later_release_is_news_once_a_link() {
        let mut peers = peers();
        peers.connect(hello(2, 20), false, 0);
        assert!(peers.unknown_is_news(2) && !peers.unknown_is_news(2));
        peers.connect(hello(2, 20), false, 0);
        assert!(peers.unknown_is_news(2));
        assert!(!peers.unknown_is_news(9));
    }
}
