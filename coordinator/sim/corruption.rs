//! Silent corruption: one member's state is not what its log says, and no client can see it. Only the
//! comparison of states tells. The operator then does what the member's log asks for: it gets an
//! empty disk.

use coordinator::node::Node;
use coordinator::node::feature::COMPARES;
use coordinator::random::Seeded;
use coordinator::state::{Effects, IdentityBuf, Stamp, State, Txn};
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, Request, create_mode};

use crate::network::{MS, Micros, SECOND};
use crate::world::World;

/// A znode that no entry has made.
const PLACE: &str = "/zookeeper/damage";

/// Whether the state holds what no entry has made.
pub fn is_damaged(state: &State) -> bool {
    state.tree().find(PLACE).is_some()
}

/// A bit of memory has flipped, say.
pub fn damage(state: &mut State) {
    let mut body = Vec::new();
    let acl = AclList::OPEN;
    let flags = create_mode::PERSISTENT;
    Request::Create(Create { path: PLACE, data: None, acl, flags, ttl_ms: 0 }).encode(&mut body);
    let identity = IdentityBuf::superuser();
    let identity = identity.as_identity();
    let txn = Txn { session: 0, identity, op: OpCode::Create, body: &body };
    let stamp = Stamp { zxid: state.last_zxid(), time_ms: 0 };
    let code = state.apply(stamp, 0, &txn, &mut Effects::new(false), None);
    assert_eq!(code, Code::Ok, "nobody else makes {PLACE}");
}

impl World {
    /// The member's process ends; when it is back its state is damaged. Once in a run, and where a
    /// majority can tell.
    pub fn corrupt(&mut self, victim: usize, time: Micros) {
        let compares = |node: &Node| node.state().cluster().level >= COMPARES;
        if self.stats.corrupted > 0
            || self.setting.voters_of(&self.operator.members).len() < 3
            || !self.operator.members.contains(&self.servers[victim].id)
            || !self.whole()
            || !self.members().all(|server| server.node().is_some_and(compares))
        {
            return;
        }
        self.stats.corrupted += 1;
        self.end_process(victim);
        self.servers[victim].disk.process_died();
        self.servers[victim].damaged = true;
        self.start_later(victim, time);
    }

    fn is_damaged(&self, s: usize) -> bool {
        self.servers[s].node().is_some_and(|node| is_damaged(node.state()))
    }

    /// Whether all members are damaged, or none: a leader may have sent its state to others before it
    /// was found, and then they are the majority. Where they are as many as the others nobody can tell
    /// who is right, and all go on.
    pub fn agree_on_damage(&self) -> bool {
        let voters = self.setting.voters_of(&self.operator.members);
        let (mut all, mut hurt, mut voting, mut hurt_voting) = (0, 0, 0, 0);
        for server in self.members() {
            let Some(node) = server.node() else { return false };
            let (damaged, votes) = (is_damaged(node.state()), voters.contains(&server.id));
            all += 1;
            hurt += usize::from(damaged);
            voting += usize::from(votes);
            hurt_voting += usize::from(damaged && votes);
        }
        hurt == 0 || hurt == all || hurt_voting * 2 == voting
    }

    /// A member says that its state is not the others'.
    pub fn differing(&mut self, s: usize) {
        if !(0..self.servers.len()).any(|s| self.is_damaged(s)) {
            return self.fail(format!(
                "server {} says that its state differs, and nobody's is damaged",
                s + 1
            ));
        }
        // Two empty disks at a time are beyond what a majority of three can bear.
        if self.whole() {
            self.stats.corruption_found += 1;
            self.say(|| format!("server {} differs: it gets an empty disk", s + 1));
            self.end_process(s);
            self.wipe(s);
            let delay = self.random.range(10 * MS, SECOND);
            self.start_later(s, delay);
        }
    }
}

/// Whether this run has a member whose state is damaged. Drawn apart, so that the others are what they
/// were.
pub fn befalls(seed: u64) -> bool {
    Seeded::new(seed ^ 0x636f_7272_7570_7431).chance(1, 4)
}
