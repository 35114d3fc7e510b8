//! Four-letter words. One that is known goes out once, as [`Output::Word`]; its answer comes back
//! once, made of the node's [`view`](Node::view) and of what only the system knows.

use super::client::{ClientStats, ConnId, Phase};
use super::{Node, Output, Stats};
use crate::admin::words::{Action, Word};

impl Node {
    /// A connection begins with a word.
    pub(super) fn word(&mut self, conn: ConnId, word: [u8; 4]) {
        let Some(word) = Word::from_bytes(word) else { return self.close_client(conn) };
        if let Some(client) = self.clients.get_mut(conn) {
            client.phase = Phase::Asking;
            self.outputs.push(Output::Word { conn, word });
        }
    }

    /// The answer to a word; the connection ends behind it.
    pub fn answer_word(&mut self, conn: ConnId, text: &[u8], action: Option<Action>) {
        match action {
            Some(Action::ResetServer) => self.reset_stats(),
            Some(Action::ResetConnections) => self.reset_client_stats(),
            None => {}
        }
        if let Some(client) = self.clients.get_mut(conn) {
            client.output.extend_from_slice(text);
        }
        self.close_client(conn);
    }

    /// Counters start anew (`srst`).
    fn reset_stats(&mut self) {
        let leader_since_ms = self.stats.leader_since_ms;
        self.stats = Stats { leader_since_ms, ..Stats::default() };
    }

    /// Counters of the connections start anew (`crst`).
    fn reset_client_stats(&mut self) {
        for conn in self.clients.ids() {
            if let Some(client) = self.clients.get_mut(conn) {
                let since_ms = client.stats.since_ms;
                client.stats = ClientStats { since_ms, ..ClientStats::default() };
            }
        }
    }
}
