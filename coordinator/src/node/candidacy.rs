//! Standing for election: in turn with the other servers, and what a candidate does about an answer.
//!
//! Servers that miss their leader stand one after the other, so that the first one wins. What goes
//! wrong all the same is seen, and not waited for: a candidate that has lost stands again after a
//! short time left to chance, whoever knows more than a candidate stands in its place, and whoever
//! would elect a candidate gives it time (`docs/decisions/0022`).

use raft::StateRole;

use super::Node;
use super::elections::Elections;

impl Node {
    /// Whether this server stands for election.
    pub(super) fn is_candidate(&self) -> bool {
        matches!(self.raft.raft.state, StateRole::PreCandidate | StateRole::Candidate)
    }

    /// Whether the leader is lost as far as this server knows: it would elect another one.
    pub(super) fn misses_leader(&self) -> bool {
        let raft = &self.raft.raft;
        raft.leader_id == 0
            || raft.election_elapsed >= raft.election_timeout()
            || !self.peers.is_up(self.leader())
    }

    /// An answer to this candidate has come. Raft waits for the timeout when too few votes are
    /// given and some are not: but those that are silent as the lost leader will not vote.
    pub(super) fn review_candidacy(&mut self) {
        let raft = &self.raft.raft;
        let lost = match raft.state {
            StateRole::Leader => false,
            StateRole::Follower => raft.leader_id == 0,
            StateRole::Candidate | StateRole::PreCandidate => {
                let (granted, refused, _) = raft.prs().tally_votes();
                refused > 0 && granted + refused >= self.voters_heard()
            }
        };
        if lost {
            self.elections.lost(self.clocks.now_ms(), &mut self.random);
        }
    }

    /// Voters that have said something within an election timeout, this server included.
    fn voters_heard(&self) -> usize {
        let since_ms = self.clocks.now_ms().saturating_sub(self.config.election_timeout_ms);
        let heard = |id: u8| {
            id == self.config.id || self.peers.heard_ms(id).is_some_and(|at| at > since_ms)
        };
        self.membership.voters().iter().filter(|&&id| heard(id as u8)).count()
    }

    /// A candidate has asked whether this server would vote for it, and has its answer.
    pub(super) fn asked_for_vote(&mut self, knows_less: bool) {
        if self.is_leader() || self.is_candidate() || !self.misses_leader() {
            return;
        }
        let now_ms = self.clocks.now_ms();
        if knows_less {
            // The candidate cannot win.
            return self.elections.stand_instead(now_ms);
        }
        // Never below the timeout: this server would seem to hear a leader, and would not vote.
        let grace = self.elections.give_way(now_ms);
        let raft = &mut self.raft.raft;
        let longest = raft.election_timeout() * 2 - 1;
        let later = (raft.election_elapsed + grace).min(longest);
        raft.set_randomized_election_timeout(raft.randomized_election_timeout().max(later));
    }

    /// Whether others should lead, for this server's disk or for its state.
    pub(super) fn should_not_lead(&self) -> bool {
        self.disk_fails_ensemble() || self.yields_leadership()
    }

    pub(super) fn campaign(&mut self) {
        let installing = self.raft.raft.raft_log.applied < self.applied_index;
        // Raft (0.7 `hup`) looks whether this server is a voter only where its own clock asks.
        let voter = self.votes(self.config.id);
        let unfit = !self.membership.may_vote() || self.should_not_lead();
        if unfit || !voter || installing || self.is_leader() {
            return;
        }
        self.stats.elections += 1;
        self.elections.stands();
        let _ = self.raft.campaign();
        self.after_raft();
    }

    /// Stands for election soon, in turn with the other servers.
    pub(super) fn campaign_soon(&mut self, absent: u8) {
        let before = self.voters_before(u64::from(absent));
        let linked = before.filter(|&id| self.peers.is_up(id as u8)).count();
        self.elections.campaign_soon(self.clocks.now_ms(), linked);
    }

    /// The voters that come before this server when the leader falls silent.
    fn voters_before(&self, leader: u64) -> impl Iterator<Item = u64> {
        let me = u64::from(self.config.id);
        let voters = self.membership.voters().iter().copied();
        voters.filter(move |&id| id < me && id != leader)
    }

    /// Replaces what raft has drawn by a draw of our own. That the two can be told apart is what
    /// `start_raft` sees to: were they taken for the same when they are equal by chance, runs of
    /// one seed would part there.
    pub(super) fn redraw_election_timeout(&mut self) {
        let base = self.raft.raft.election_timeout();
        if self.raft.raft.randomized_election_timeout() < base * 2 {
            return;
        }
        let drawn = if self.raft.raft.state == StateRole::Candidate {
            Elections::candidate_timeout(base, &mut self.random)
        } else {
            let before = self.voters_before(self.raft.raft.leader_id).count();
            self.elections.follower_timeout(base, before, &mut self.random)
        };
        self.raft.raft.set_randomized_election_timeout(drawn);
    }
}
