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
        for id in self.peers.ids() {
            self.peers.send(id, &message);
        }
    }

    /// Ends the links over which nothing has come for too long.
    pub(super) fn review_links(&mut self) {
        let silence_ms = SILENCE_TIMEOUTS * self.config.election_timeout_ms;
        let silent = self.peers.take_silent(self.clocks.attentive_ms(), silence_ms);
        self.outputs.extend(silent.into_iter().map(Output::Redial));
    }

    pub(super) fn heard_from(&mut self, id: u8) {
        self.peers.heard(id, self.clocks.now_ms(), self.clocks.attentive_ms());
    }
}
