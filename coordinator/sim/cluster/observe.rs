//! What the checkers see of a server.

use coordinator::node::{Node, Output};
use raft::eraftpb::Entry;

use super::Server;
use crate::corruption;
use crate::network::MS;
use crate::world::World;

/// Of the indices at which a server comes to a halt, one in so many is compared.
const DIGEST_EVERY: u64 = 16;

impl World {
    pub(super) fn observe(&mut self, s: usize, node: &Node, outputs: &[Output]) {
        let now_us = self.now_us;
        let server = &mut self.servers[s];
        for output in outputs {
            match output {
                Output::Persist { entries, .. } => {
                    for entry in entries {
                        server.mirror.split_off(&entry.index);
                        server.mirror.insert(entry.index, (entry.term, checksum(entry)));
                    }
                }
                Output::Install { point } => {
                    server.mirror.clear();
                    server.applied = point.index;
                    server.installed_us = now_us;
                    self.stats.installs += 1;
                }
                _ => {}
            }
        }
        let applied = node.applied_index();
        if applied == server.applied {
            return;
        }
        let mut verdict = Ok(());
        if node.leader() == server.id && !node.votes(server.id) {
            verdict = Err(format!("server {} leads and has no vote", server.id));
        }
        for index in server.applied + 1..=applied {
            if let Some(&(term, checksum)) = server.mirror.get(&index) {
                verdict = verdict.and(self.checks.order.applied(server.id, index, term, checksum));
            }
        }
        server.applied = applied;
        let state = node.state();
        // By index: servers are compared where they stop at the same one.
        if self.setting.digest_always || applied.is_multiple_of(DIGEST_EVERY) {
            verdict = verdict.and(self.checks.digest.observe(
                server.id,
                applied,
                state.digest(),
                corruption::is_damaged(state),
            ));
        }
        if !state.sessions().map(|(id, _)| id).eq(server.sessions.iter().copied()) {
            let sessions: Vec<i64> = state.sessions().map(|(id, _)| id).collect();
            for session in &sessions {
                self.checks.session.held(*session, applied);
            }
            server.sessions = sessions;
        }
        let has = |session: i64| server.sessions.binary_search(&session).is_ok();
        verdict = verdict.and(self.checks.session.ended(applied, has, now_us));
        self.judge(verdict);
    }

    /// Servers in ascending order of what they have applied, for messages.
    pub fn describe(&self) -> String {
        let one = |server: &Server| match (&server.running, server.node()) {
            (Some(r), Some(node)) => format!(
                "{}: leader {} applied {} serving {}{} up {} ms",
                server.id,
                node.leader(),
                node.applied_index(),
                node.serving(),
                if server.paused { " paused" } else { "" },
                (self.now_us - r.started_us) / MS
            ),
            _ => format!("{}: down", server.id),
        };
        self.servers.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

pub(super) fn checksum(entry: &Entry) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(entry.entry_type as u32).to_le_bytes());
    hasher.update(&entry.context);
    hasher.update(&entry.data);
    hasher.finalize()
}
