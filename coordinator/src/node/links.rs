//! Whether the links to other members are alive.
//!
//! Every server says something to every other one at short intervals. A link over which nothing
//! comes is closed on both sides and dialled anew: TCP alone would take many seconds to notice that
//! a cut has healed, and a quarter of an hour that a member has lost power.

use super::{Node, Output, peer};

/// The longest silence, in election timeouts.
const SILENCE_TIMEOUTS: u64 = 2;

impl Node {
    /// Tells all linked members that this one is there.
    pub(super) fn say_alive(&mut self) {
        let mut message = Vec::new();
        peer::alive(&mut message);
        for id in self.peer_ids() {
            self.send(id, &message);
        }
    }

    /// Ends the links over which nothing has come for too long.
    pub(super) fn review_links(&mut self) {
        let silence_ms = SILENCE_TIMEOUTS * self.config.election_timeout_ms;
        for (&id, peer) in &mut self.peers {
            let silent_ms = self.attentive.now_ms.saturating_sub(peer.heard_attentive_ms);
            if peer.up && silent_ms >= silence_ms {
                peer.heard_attentive_ms = self.attentive.now_ms;
                self.outputs.push(Output::Redial(id));
            }
        }
    }

    pub(super) fn heard_from(&mut self, id: u8) {
        let (now_ms, attentive_ms) = (self.now_ms, self.attentive.now_ms);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.heard_ms = now_ms;
            peer.heard_attentive_ms = attentive_ms;
        }
    }
}
