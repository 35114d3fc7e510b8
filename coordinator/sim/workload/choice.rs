//! What a client does next.

use super::greedy::Greedy;
use super::guarded::{ANNS, BOBS, FLIPS, GUARDED, YARD_TOGGLE};
use super::{Client, EPHEMERALS, Op, QUEUE, REGISTERS, TOGGLES};
use crate::world::World;

impl World {
    pub(super) fn choose(&mut self, c: usize) -> Op {
        let client = &mut self.clients[c];
        let register = format!("/register-{}", client.random.below(REGISTERS));
        let toggle = format!("/toggle-{}", client.random.below(TOGGLES));
        let watch = client.random.chance(1, 4);
        if client.random.chance(1, 1000) {
            let token = client.token();
            return Op::Greedy(Greedy::choose(&mut client.random, &token));
        }
        match client.random.below(44) {
            0..=4 => Op::Set { token: client.token(), path: register, version: -1 },
            5..=6 => {
                let version = client.versions.get(&register).copied().unwrap_or(0);
                Op::Set { token: client.token(), path: register, version }
            }
            7..=11 => Op::Get { path: register, watch },
            12..=13 => Op::Exists { path: toggle, watch },
            14 => Op::Get { path: toggle, watch },
            15..=16 => Op::Create { path: toggle, token: client.token() },
            17 => Op::Delete { path: toggle },
            18..=19 => Op::CreateSequential { token: client.token() },
            20 => match client.own_queued.pop() {
                Some(name) => Op::DeleteSequential { name },
                None => Op::Sync,
            },
            21..=22 if client.own_ephemerals.len() < 6 => {
                Op::CreateEphemeral { path: format!("{EPHEMERALS}/{}", client.token()) }
            }
            21..=22 => {
                let at = client.random.below(client.own_ephemerals.len() as u64) as usize;
                let path = client.own_ephemerals.iter().nth(at).expect("below its length").clone();
                if client.random.chance(1, 2) {
                    Op::DeleteEphemeral { path }
                } else {
                    Op::Exists { path, watch: false }
                }
            }
            23 => Op::Children { path: QUEUE.to_owned(), watch },
            24 => Op::Children { path: EPHEMERALS.to_owned(), watch },
            25..=26 => Op::Multi { token: client.token(), fails: client.random.chance(1, 4) },
            27..=28 => Op::MultiRead,
            29 => Op::Sync,
            30..=37 => client.choose_guarded(watch),
            38..=39 => client.choose_watch(register, toggle),
            40..=41 => client.choose_container(),
            _ => client.choose_ttl(),
        }
    }
}

impl Client {
    fn choose_guarded(&mut self, watch: bool) -> Op {
        let path = [ANNS, BOBS, FLIPS][self.random.below(3) as usize].to_owned();
        let yard = YARD_TOGGLE.to_owned();
        // What may sometimes be read may sometimes be heard of: nothing to hold an event against.
        let watch = watch && self.user.may_read(&path).is_some();
        match self.random.below(10) {
            0..=2 => Op::Set { token: self.token(), path, version: -1 },
            3..=5 => Op::Get { path, watch },
            6 => Op::Exists { path, watch },
            7 => Op::Flip { open: self.random.chance(1, 2) },
            8 => Op::Create { path: yard, token: self.token() },
            _ => Op::Delete { path: yard },
        }
    }

    fn choose_watch(&mut self, register: String, toggle: String) -> Op {
        let removes = self.random.chance(1, 3);
        let (path, recursive) = match self.random.below(5) {
            0..=1 => (register, false),
            2 => (QUEUE.to_owned(), false),
            3 => (EPHEMERALS.to_owned(), true),
            _ => (GUARDED.to_owned(), true),
        };
        if !removes {
            return Op::AddWatch { path, recursive };
        }
        let path = if self.random.chance(1, 4) { toggle } else { path };
        Op::RemoveWatches { path, kind: self.random.range(1, 5) as i32 }
    }
}
