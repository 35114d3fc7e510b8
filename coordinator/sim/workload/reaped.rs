//! Containers and TTL znodes: made, filled and emptied by one client, deleted by the leader.

use super::{Client, Op};

const BOXES: u64 = 2;
const TTLS: usize = 3;

/// A container as its client knows it.
#[derive(Clone, Debug)]
pub struct Container {
    pub contents: Contents,
    /// A creation is on its way.
    pub busy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// It never had a child: nobody may take it away.
    Never,
    Full,
    /// Its child was deleted, or may have been.
    Emptied,
}

/// The only child of a container.
pub fn child(path: &str) -> String {
    format!("{path}/child")
}

impl Client {
    pub(super) fn choose_container(&mut self) -> Op {
        let at = self.random.below(BOXES) as usize;
        let Some((path, container)) = self.containers.iter().nth(at) else {
            return Op::CreateContainer { path: format!("/box-{}", self.token()) };
        };
        let (path, container) = (path.clone(), container.clone());
        if container.busy || self.random.chance(1, 3) {
            return Op::LookAtContainer { path };
        }
        match container.contents {
            Contents::Never | Contents::Emptied => Op::Fill { path, token: self.token() },
            Contents::Full => Op::Empty { path },
        }
    }

    pub(super) fn choose_ttl(&mut self) -> Op {
        if self.ttls.len() < TTLS {
            let ttl_ms = self.random.range(200, 4000) as i64;
            return Op::CreateTtl { path: format!("/ttl-{}", self.token()), ttl_ms };
        }
        let at = self.random.below(TTLS as u64) as usize;
        Op::LookAtTtl { path: self.ttls[at].clone() }
    }

    /// The leader has deleted a container: right only if it was emptied before.
    pub(super) fn container_gone(&mut self, path: &str) -> Result<(), String> {
        match self.containers.remove(path) {
            Some(Container { contents: contents @ (Contents::Never | Contents::Full), .. }) => {
                Err(format!("the container {path} is gone, though its contents are {contents:?}"))
            }
            _ => Ok(()),
        }
    }
}
