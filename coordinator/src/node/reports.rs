//! Sessions between servers: reports to the leader, its answers, and what follows from silence.
//!
//! Every server tells the leader which sessions it has heard from; the leader alone expires them.
//! A server whose reports are not confirmed is cut off and closes its connections in time, so no
//! client believes in an ephemeral that the majority has removed.

use super::client::Phase;
use super::lease::Leases;
use super::{Level, Node, peer};

impl Node {
    /// Whether clients are served: there is a leader, it knows this run of the server, and it has
    /// confirmed a report lately.
    pub fn serving(&self) -> bool {
        let silence_ms = self.leases.silence_ms(self.clocks.now_ms());
        self.admitted()
            && self.raft.raft.leader_id != 0
            && silence_ms < self.config.election_timeout_ms * 3
            && !self.stopping
            && !self.disk_fails_ensemble()
            && !self.differs()
    }

    /// The ensemble is founded and takes this server's stream of writes.
    pub(super) fn admitted(&self) -> bool {
        let cluster = self.state.cluster();
        cluster.cluster_id != 0 && cluster.boot(self.config.id) == Some(self.outbox.boot())
    }

    /// Tells the leader which sessions were heard from since the last report.
    pub(super) fn report(&mut self) {
        self.leases.heard(self.clients.take_touched());
        if self.is_leader() {
            for session in self.leases.take_unreported() {
                self.sessions.expiry.touch(session, self.clocks.attentive_ms());
            }
            return;
        }
        let leader = self.leader();
        if leader == 0 || !self.peers.is_up(leader) {
            return;
        }
        let report = self.leases.report(self.clocks.now_ms());
        self.peers.send_with(leader, |out| {
            peer::report(report.number, report.sessions.iter().copied(), out);
        });
    }

    /// A server reports to this one, which answers only as a leader.
    pub(super) fn reported(&mut self, from: u8, number: u64, sessions: peer::Sessions<'_>) {
        if !self.is_leader() || !self.raft.raft.commit_to_current_term() {
            return;
        }
        for session in sessions.iter() {
            self.sessions.expiry.touch(session, self.clocks.attentive_ms());
        }
        self.peers.send_with(from, |out| peer::report_ack(number, out));
    }

    /// The leader has counted a report of ours.
    pub(super) fn report_confirmed(&mut self, from: u8, number: u64) {
        if from == self.leader() {
            self.leases.confirmed(number);
        }
    }

    /// Closes the connections whose lease is over.
    pub(super) fn enforce_leases(&mut self) {
        if self.is_leader() {
            return self.leases.renew(self.clocks.now_ms());
        }
        let silence_ms = self.leases.silence_ms(self.clocks.now_ms());
        let shortest_ms = Leases::lease_ms(self.config.session_timeout_min_ms);
        if silence_ms < shortest_ms || self.clients.count == 0 {
            return;
        }
        for conn in self.clients.ids() {
            let Some(client) = self.clients.get(conn) else { continue };
            let over = silence_ms >= Leases::lease_ms(client.timeout_ms);
            if over && !client.read_only && matches!(client.phase, Phase::Open | Phase::Connecting)
            {
                self.log(
                    Level::Warn,
                    &format!(
                        "closing {} (session {:#x}): no word from a leader for {silence_ms} ms",
                        client.address, client.session
                    ),
                );
                self.close_client(conn);
            }
        }
    }
}
