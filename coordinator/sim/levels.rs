//! Members of releases that differ: some know a lower feature level, and are replaced one by one while
//! all else goes on; some are put back, as long as others are older. What a level brings is not seen
//! before every member knows it: the older ones would end.

use coordinator::node::Node;
use coordinator::node::feature::LEVEL;
use coordinator::random::Seeded;

use crate::cluster::Server;
use crate::network::Micros;
use crate::world::World;

/// Whether this run has members of two levels, and which one the older ones know. Drawn apart.
pub fn older(seed: u64) -> Option<u16> {
    let mut random = Seeded::new(seed ^ 0x6c65_7665_6c73_0a0a);
    random.chance(1, 4).then(|| random.below(u64::from(LEVEL)) as u16)
}

/// Gives each of the first servers its level.
pub fn assign(servers: &mut [Server], older: u16, random: &mut Seeded) {
    for server in servers {
        if random.chance(2, 3) {
            server.level = older;
        }
    }
}

impl World {
    /// One member is restarted with another release: a newer one, or now and then the older one.
    pub fn change_level(&mut self, victim: usize, time: Micros) {
        let Some(older) = self.setting.older else { return };
        let member = |s: &Server| self.operator.members.contains(&s.id);
        if !self.whole() || !member(&self.servers[victim]) {
            return;
        }
        let others_old = self
            .servers
            .iter()
            .enumerate()
            .any(|(s, server)| s != victim && member(server) && server.level == older);
        if self.servers[victim].level == older {
            self.servers[victim].level = LEVEL;
        } else if others_old && self.random.chance(1, 3) {
            self.servers[victim].level = older;
        } else {
            return;
        }
        self.stats.releases_changed += 1;
        let level = self.servers[victim].level;
        self.say(|| format!("server {} is restarted with level {level}", victim + 1));
        self.end_process(victim);
        self.servers[victim].disk.process_died();
        self.start_later(victim, time);
    }

    /// Whether the ensemble has the level that all its members know, and no other.
    pub fn level_is_known(&self) -> bool {
        let known = self.members().map(|server| server.level).min().unwrap_or(LEVEL);
        let level = |node: &Node| node.state().cluster().level;
        // It does not go back when somebody who is older comes.
        self.members().all(|server| server.node().is_some_and(|node| level(node) == known))
    }
}
