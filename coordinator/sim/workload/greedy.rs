//! Requests that ask for too much, sent by clients that go on with everything else meanwhile.

use coordinator::random::Seeded;
use coordinator::wire::acl::{Acl, AclList, perms, put_acls};
use coordinator::wire::code::Code;
use coordinator::wire::jute::{Reader, put_strings};
use coordinator::wire::multi;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::Reply;
use coordinator::wire::request::{Create, Read, Request, SetWatches, create_mode};

use super::request::{frame_of, strings};
use super::{Op, PAIR, Pending};
use crate::world::World;

/// So many requests in one burst: more than fit into a slice of a turn.
const BURST: usize = 3000;

#[derive(Clone, Debug)]
pub enum Greedy {
    /// A create with a list of so many entries, each its own.
    List { path: String, entries: u64 },
    /// A multiRead of so many operations.
    Reads { operations: u64 },
    /// A setWatches of so many paths that nobody makes.
    Watches { paths: u64 },
    /// One read of many that come at once.
    Burst,
}

impl Greedy {
    pub fn choose(random: &mut Seeded, token: &str) -> Greedy {
        match random.below(4) {
            0 => Greedy::List { path: format!("/list-{token}"), entries: random.range(1, 2000) },
            1 => Greedy::Reads { operations: random.range(1, 12_000) },
            2 => Greedy::Watches { paths: random.range(1, 60_000) },
            _ => Greedy::Burst,
        }
    }

    pub fn encode(&self, xid: i32) -> (OpCode, Vec<u8>) {
        let of = |request: Request<'_>| (request.op(), frame_of(xid, &request));
        match self {
            Greedy::List { path, entries } => {
                let ids: Vec<String> = (0..*entries).map(|n| format!("{path}.{n}:x")).collect();
                let entry = |id| Acl { perms: perms::ALL, scheme: "digest", id };
                let mut bytes = Vec::new();
                put_acls(&mut bytes, ids.iter().map(|id| entry(id)));
                let acl = AclList::decode(&mut Reader::new(&bytes)).expect("it was just made");
                let flags = create_mode::EPHEMERAL;
                of(Request::Create(Create { path, data: None, acl, flags, ttl_ms: 0 }))
            }
            Greedy::Reads { operations } => {
                let mut body = Vec::new();
                for _ in 0..*operations {
                    multi::put_op(
                        &mut body,
                        &Request::GetData(Read { path: PAIR[0], watch: false }),
                    );
                }
                multi::put_end(&mut body);
                of(Request::decode(OpCode::MultiRead, &body).expect("it was just made"))
            }
            Greedy::Watches { paths } => {
                let paths: Vec<String> =
                    (0..*paths).map(|n| format!("/nobody/makes/{n}")).collect();
                let (mut none, mut exist) = (Vec::new(), Vec::new());
                put_strings(&mut none, [].into_iter());
                put_strings(&mut exist, paths.iter().map(String::as_str));
                let none = strings(&none);
                of(Request::SetWatches(SetWatches {
                    relative_zxid: 0,
                    data: none,
                    exist: strings(&exist),
                    child: none,
                    persistent: none,
                    persistent_recursive: none,
                }))
            }
            Greedy::Burst => of(Request::Exists(Read { path: PAIR[1], watch: false })),
        }
    }

    /// Within its bounds a request is answered, beyond them it is refused.
    pub fn judge(&self, answer: Result<&Reply, Code>) -> Result<(), String> {
        let fits = match (self, answer) {
            (Greedy::List { entries, .. }, Ok(_)) => *entries <= 256,
            // Long names make a list of fewer entries too long.
            (Greedy::List { entries, .. }, Err(Code::InvalidAcl)) => *entries > 128,
            (Greedy::Reads { operations }, Ok(Reply::Multi(results))) => {
                *operations <= 10_000 && results.len() as u64 == *operations
            }
            (Greedy::Reads { operations }, Err(Code::BadArguments)) => *operations > 10_000,
            (Greedy::Watches { .. } | Greedy::Burst, Ok(_)) => true,
            _ => false,
        };
        let answer = answer.map(|_| "an answer");
        if fits { Ok(()) } else { Err(format!("{self:?} is met by {answer:?}")) }
    }
}

impl World {
    /// Sends it, a burst with all its requests.
    pub(super) fn send_greedy(&mut self, c: usize, wire: usize, greedy: &Greedy) {
        let count = if matches!(greedy, Greedy::Burst) { BURST } else { 1 };
        let bound = self.checks.order.completed_zxid;
        let mut bytes = Vec::new();
        for _ in 0..count {
            let client = &mut self.clients[c];
            let watches = matches!(greedy, Greedy::Watches { .. });
            let xid = if watches {
                coordinator::wire::request::xid::SET_WATCHES
            } else {
                client.xid += 1;
                client.xid
            };
            let (code, frame) = greedy.encode(xid);
            client.pending.push_back(Pending { xid, op: Op::Greedy(greedy.clone()), code, bound });
            bytes.extend_from_slice(&frame);
        }
        self.stats.greedy += 1;
        self.client_sends(wire, bytes);
    }
}
