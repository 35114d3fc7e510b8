//! The state machine against a naive model: random operations, same answers, same contents.
//!
//! The model is a map of whole paths and does everything the slow, obvious way; a multi works on
//! a copy. Beside it a second replica applies the same operations, and is replaced again and
//! again by one restored from a snapshot that was written while the operations went on.

use coordinator::random::Seeded;
use coordinator::state::{Effects, IdentityBuf, Restore, Stamp, State, Txn};
use coordinator::tree::node::{Kind, ROOT};
use coordinator::wire::acl::{Acl, AclList, perms, put_acls};
use coordinator::wire::code::Code;
use coordinator::wire::jute::Reader;
use coordinator::wire::multi::{MultiResult, put_end, put_op};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{AclEntry, Reply};
use coordinator::wire::request::{Create, PathVersion, Read, Request, SetAcl, SetData};
use coordinator::wire::stat::Stat;
use std::collections::BTreeMap;

mod model;

use model::{BYTES_MAX, Model, STATS, ZNODES_MAX, open};

#[test]
fn random_operations_agree_with_the_model() {
    for seed in 0..40 {
        Run::new(seed).steps(400);
    }
}

#[test]
fn quotas_are_kept_as_the_model_counts_them() {
    let refused: usize = (0..20)
        .map(|seed| {
            let mut run = Run::new(seed);
            run.limit();
            run.steps(400);
            run.refused
        })
        .sum();
    assert!(refused > 20, "{refused} writes were refused");
}

struct Random(Seeded);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Znode {
    data: Option<Vec<u8>>,
    acl: Vec<AclEntry>,
    kind: Kind,
    stat: Stat,
    /// Children ever created.
    creations: i32,
}

/// One write, with everything in it owned.
#[derive(Clone, Debug)]
enum Op {
    Create {
        op: OpCode,
        path: String,
        data: Option<Vec<u8>>,
        acl: Vec<AclEntry>,
        flags: i32,
        ttl_ms: i64,
    },
    Delete(String, i32),
    Set(String, Option<Vec<u8>>, i32),
    SetAcl(String, Vec<AclEntry>, i32),
    Check(String, i32),
    Multi(Vec<Op>),
    OpenSession(i32),
    Attach(i32),
    Close,
    Reap(String),
}

impl Op {
    fn opcode(&self) -> OpCode {
        match self {
            Self::Create { op, .. } => *op,
            Self::Delete(..) => OpCode::Delete,
            Self::Set(..) => OpCode::SetData,
            Self::SetAcl(..) => OpCode::SetAcl,
            Self::Check(..) => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::OpenSession(_) => OpCode::CreateSession,
            Self::Attach(_) => OpCode::AttachSession,
            Self::Close => OpCode::CloseSession,
            Self::Reap(_) => OpCode::DeleteContainer,
        }
    }

    fn with_request(&self, run: impl FnOnce(&Request<'_>)) {
        let with_acl = |acl: &[AclEntry], run: &mut dyn FnMut(AclList<'_>)| {
            let mut bytes = Vec::new();
            put_acls(&mut bytes, acl.iter().map(AclEntry::as_acl));
            run(AclList::decode(&mut Reader::new(&bytes)).unwrap());
        };
        let mut run = Some(run);
        let mut run = |request: &Request<'_>| run.take().unwrap()(request);
        match self {
            Self::Create { op, path, data, acl, flags, ttl_ms } => with_acl(acl, &mut |acl| {
                let (data, ttl_ms) = (data.as_deref(), *ttl_ms);
                let create = Create { path, data, acl, flags: *flags, ttl_ms };
                run(&match op {
                    OpCode::Create2 => Request::Create2(create),
                    OpCode::CreateContainer => Request::CreateContainer(create),
                    OpCode::CreateTtl => Request::CreateTtl(create),
                    _ => Request::Create(create),
                });
            }),
            Self::Delete(path, version) => {
                run(&Request::Delete(PathVersion { path, version: *version }));
            }
            Self::Set(path, data, version) => {
                run(&Request::SetData(SetData { path, data: data.as_deref(), version: *version }));
            }
            Self::SetAcl(path, acl, version) => with_acl(acl, &mut |acl| {
                run(&Request::SetAcl(SetAcl { path, acl, version: *version }));
            }),
            Self::Check(path, version) => {
                run(&Request::Check(PathVersion { path, version: *version }));
            }
            Self::OpenSession(timeout_ms) => {
                run(&Request::CreateSession { timeout_ms: *timeout_ms });
            }
            Self::Attach(timeout_ms) => run(&Request::AttachSession { timeout_ms: *timeout_ms }),
            Self::Close => run(&Request::CloseSession),
            Self::Reap(path) => run(&Request::DeleteContainer(path)),
            Self::Multi(_) => unreachable!("a multi is encoded part by part"),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        if let Self::Multi(parts) = self {
            for part in parts {
                part.with_request(|request| put_op(&mut body, request));
            }
            put_end(&mut body);
        } else {
            self.with_request(|request| request.encode(&mut body));
        }
        body
    }
}

/// Who sends an operation, when.
#[derive(Clone, Debug)]
struct Sender {
    session: i64,
    origin: u8,
    identity: IdentityBuf,
    stamp: Stamp,
}

impl Sender {
    fn pairs(&self) -> Vec<(String, String)> {
        let pairs = self.identity.as_identity();
        pairs.iter().map(|(scheme, id)| (scheme.to_owned(), id.to_owned())).collect()
    }
}

/// All of a state that the model knows.
fn contents(state: &State) -> BTreeMap<String, Znode> {
    let tree = state.tree();
    let znode = |id| {
        let (fields, stat) = (tree.fields(id), tree.stat(id));
        let entry = |acl: Acl<'_>| AclEntry {
            perms: acl.perms,
            scheme: acl.scheme.into(),
            id: acl.id.into(),
        };
        Znode {
            data: tree.data(id).map(<[u8]>::to_vec),
            acl: tree.acls.list(tree.acl(id)).map(entry).collect(),
            kind: tree.kind(id),
            stat,
            creations: fields.cversion,
        }
    };
    tree.walk(ROOT).map(|(id, _)| (tree.path(id), znode(id))).collect()
}

/// A snapshot that is being written, and what it must turn out to be.
struct SnapshotRun {
    restore: Restore,
    digest: u64,
    model: Model,
    /// Applied since it began.
    log: Vec<(Op, Sender)>,
}

struct Run {
    seed: u64,
    random: Random,
    model: Model,
    state: State,
    replica: State,
    snapshot: Option<SnapshotRun>,
    /// A digest in the making, and what it must come to.
    digest: Option<u64>,
    digested: usize,
    stamp: Stamp,
    restored: usize,
    /// Writes over the quota.
    refused: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        // Both forms of a snapshot.
        let (mut state, mut replica) = (State::new(), State::new());
        for state in [&mut state, &mut replica] {
            state.cluster_mut().level = (seed % 3) as u16;
        }
        let model = Model { principals: !seed.is_multiple_of(3), ..Model::new() };
        Self {
            seed,
            random: Random(Seeded::new(seed)),
            model,
            state,
            replica,
            snapshot: None,
            digest: None,
            digested: 0,
            stamp: Stamp { zxid: 0, time_ms: 1000 },
            restored: 0,
            refused: 0,
        }
    }

    /// A hard quota on one path, which no operation changes.
    fn limit(&mut self) {
        let mut who = self.sender();
        who.session = 1;
        who.origin = 1;
        self.write(&Op::OpenSession(5000), &who);
        let limits =
            format!("count=1,bytes=1=;byteHardLimit={BYTES_MAX};countHardLimit={ZNODES_MAX}");
        for (path, data) in [
            ("/zookeeper/quota/a", String::new()),
            ("/zookeeper/quota/a/zookeeper_limits", limits),
            (STATS, "count=0,bytes=0".to_owned()),
        ] {
            who.stamp.zxid += 1;
            self.stamp = who.stamp;
            let (op, path, data) = (OpCode::Create, path.to_owned(), Some(data.into_bytes()));
            let create = Op::Create { op, path, data, acl: open(), flags: 0, ttl_ms: 0 };
            self.write(&create, &who);
        }
        self.model.limited = true;
        for state in [&mut self.state, &mut self.replica] {
            state.enforce_quotas(true);
        }
    }

    fn steps(&mut self, steps: usize) {
        for _ in 0..steps {
            let (op, who) = (self.op(3), self.sender());
            self.write(&op, &who);
            self.read(&who);
            self.snapshot_on();
            self.digest_on();
        }
        self.compare(&self.state, &self.model);
        assert_eq!(self.state.digest(), self.replica.digest(), "seed {}", self.seed);
        assert!(self.digested > 2, "seed {}: {} digests", self.seed, self.digested);
        assert!(self.restored > 2, "seed {}: {} snapshots", self.seed, self.restored);
    }

    fn sender(&mut self) -> Sender {
        self.stamp.zxid += 1;
        self.stamp.time_ms += self.random.below(100) as i64;
        let session = self.random.one_of(&[1, 1, 2, 2, 3, 4]);
        let mut identity = IdentityBuf::new([10, 0, 0, session as u8].into());
        match session {
            1 => assert!(identity.add("digest", "ann:h")),
            3 => assert!(identity.add("super", "")),
            _ => {}
        }
        let origin = if self.random.below(20) == 0 { 2 } else { 1 };
        Sender { session, origin, identity, stamp: self.stamp }
    }

    fn path(&mut self) -> String {
        if self.random.below(30) == 0 {
            let odd = ["", "/", "x", "/a/", "//a", "/a//b", "/a/.", "a/b", "/zookeeper"];
            return self.random.one_of(&odd).into();
        }
        let depth = 1 + self.random.below(3);
        (0..depth).map(|_| self.random.one_of(&["/a", "/b", "/cc", "/a\u{e9}"])).collect()
    }

    /// A known path more often than chance would have it.
    fn known_path(&mut self) -> String {
        if self.random.below(3) == 0 {
            return self.path();
        }
        // What a client writes about a quota is not for the model.
        let limited = self.model.limited;
        let keys = || self.model.nodes.keys().filter(|k| !limited || !k.starts_with("/zookeeper"));
        let at = self.random.0.next_u64() as usize % keys().count();
        keys().nth(at).unwrap().clone()
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let len = self.random.one_of(&[0, 1, 7, 8, 100, 300, 3000, 5000]);
        (self.random.below(8) != 0).then(|| vec![self.random.next() as u8; len])
    }

    fn acl(&mut self) -> Vec<AclEntry> {
        let entry = |perms, scheme: &str, id: &str| AclEntry {
            perms,
            scheme: scheme.into(),
            id: id.into(),
        };
        match self.random.below(24) {
            0 => vec![entry(perms::READ, "world", "anyone")],
            1 => vec![entry(perms::ALL, "digest", "ann:h"), entry(1, "world", "anyone")],
            2 => vec![entry(perms::ALL, "auth", "")],
            3 => vec![entry(perms::ALL, "ip", "10.0.0.2")],
            4 => vec![entry(perms::ALL, "sasl", "who")],
            5 => Vec::new(),
            23 => vec![entry(perms::ALL, "super", "")],
            6 => vec![entry(17, "world", "anyone"), entry(17, "world", "anyone")],
            _ => open(),
        }
    }

    fn version(&mut self) -> i32 {
        self.random.one_of(&[-1, -1, -1, 0, 1])
    }

    fn op(&mut self, multi: u64) -> Op {
        match self.random.below(20 + multi) {
            0..=8 => self.create(),
            9..=11 => Op::Delete(self.known_path(), self.version()),
            12..=15 => Op::Set(self.known_path(), self.data(), self.version()),
            16 => Op::Check(self.known_path(), self.version()),
            _ if multi == 0 => Op::Delete(self.known_path(), -1),
            17 => Op::SetAcl(self.known_path(), self.acl(), self.version()),
            18 => self.random.one_of(&[Op::OpenSession as fn(i32) -> Op, Op::Attach])(5000),
            19 if self.random.below(3) == 0 => Op::Close,
            19 => Op::Reap(self.known_path()),
            _ => {
                let len = self.random.below(6);
                Op::Multi((0..len).map(|_| self.op(0)).collect())
            }
        }
    }

    fn create(&mut self) -> Op {
        let op = self.random.one_of(&[
            OpCode::Create,
            OpCode::Create,
            OpCode::Create2,
            OpCode::CreateContainer,
            OpCode::CreateTtl,
        ]);
        let flags = match op {
            OpCode::CreateContainer => 4,
            OpCode::CreateTtl => self.random.one_of(&[5, 6, 0]),
            _ => self.random.one_of(&[0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 9]),
        };
        let ttl_ms = self.random.one_of(&[300, 1, 0, -1]);
        Op::Create { op, path: self.path(), data: self.data(), acl: self.acl(), flags, ttl_ms }
    }

    fn write(&mut self, op: &Op, who: &Sender) {
        let seed = self.seed;
        self.model.events.clear();
        let expected = self.model.apply(op, who);
        let mut effects = Effects::new(true);
        let mut reply = Vec::new();
        let code = send(&mut self.state, op, who, &mut effects, Some(&mut reply));
        let found = match code {
            Code::Ok => Ok(Reply::decode(op.opcode(), &mut Reader::new(&reply)).unwrap()),
            code => Err(code),
        };
        assert_eq!(found, expected, "seed {seed}: {op:?} by {who:?}");
        let over = MultiResult::Error(Code::QuotaExceeded.as_i32());
        let refused = match &expected {
            Ok(Reply::Multi(results)) => results.contains(&over),
            other => *other == Err(Code::QuotaExceeded),
        };
        self.refused += usize::from(refused);
        let events: Vec<_> = effects.events().map(|(kind, path)| (kind, path.to_owned())).collect();
        assert_eq!(events, self.model.events, "seed {seed}: {op:?}");
        // A replica that nobody watches and nobody waits at.
        let code = send(&mut self.replica, op, who, &mut Effects::default(), None);
        assert_eq!(code, expected.err().unwrap_or(Code::Ok), "seed {seed}: {op:?}");
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.log.push((op.clone(), who.clone()));
        }
    }

    fn read(&mut self, who: &Sender) {
        let path = self.known_path();
        let read = Read { path: &path, watch: false };
        let request = match self.random.below(4) {
            0 => Request::GetData(read),
            1 => Request::Exists(read),
            2 => Request::GetChildren2(read),
            _ => Request::GetAllChildrenNumber(&path),
        };
        let mut body = Vec::new();
        request.encode(&mut body);
        let (op, mut reply) = (request.op(), Vec::new());
        let identity = who.identity.as_identity();
        let code = self.state.read(who.session, identity, op, &body, &mut reply).code;
        let found = match code {
            Code::Ok => Ok(Reply::decode(op, &mut Reader::new(&reply)).unwrap()),
            code => Err(code),
        };
        let full = if path.is_empty() { "/" } else { &path };
        let permitted = self.model.get(&path).and_then(|node| match op {
            OpCode::Exists => Ok(node),
            _ => self.model.permit(&path, perms::READ, who).map(|()| node),
        });
        let expected = permitted.map(|node| match op {
            OpCode::Exists => Reply::Stat(self.model.stat(full)),
            OpCode::GetData => Reply::DataStat(node.data.clone(), self.model.stat(full)),
            OpCode::GetAllChildrenNumber => {
                let prefix = if full == "/" { "/".into() } else { format!("{full}/") };
                let below = |p: &&String| p.starts_with(&prefix) && *p != "/";
                Reply::Count(self.model.nodes.keys().filter(below).count() as i32)
            }
            _ => Reply::StringsStat(self.model.children(full), self.model.stat(full)),
        });
        let found = found.map(|reply| match reply {
            Reply::StringsStat(mut names, stat) => {
                names.sort_unstable();
                Reply::StringsStat(names, stat)
            }
            reply => reply,
        });
        assert_eq!(found, expected, "seed {}: {request:?} by {who:?}", self.seed);
    }

    /// A digest that is made in steps between writes is that of the moment when it began.
    fn digest_on(&mut self) {
        let Some(expected) = self.digest else {
            self.digest = Some(self.state.digest());
            return self.state.digest_begin();
        };
        if let Some(made) = self.state.digest_step(self.random.below(4) as usize) {
            assert_eq!(made, expected, "seed {}", self.seed);
            self.digest = None;
            self.digested += 1;
        }
    }

    fn snapshot_on(&mut self) {
        let Some(snapshot) = &mut self.snapshot else {
            if self.random.below(10) == 0 {
                self.state.snapshot_begin();
                self.snapshot = Some(SnapshotRun {
                    restore: Restore::new(),
                    digest: self.state.digest(),
                    model: self.model.clone(),
                    log: Vec::new(),
                });
            }
            return;
        };
        let mut chunk = Vec::new();
        let done = self.state.snapshot_step(self.random.below(4) as usize, &mut chunk);
        snapshot.restore.chunk(&chunk).unwrap();
        if !done {
            return;
        }
        let snapshot = self.snapshot.take().unwrap();
        let mut restored = snapshot.restore.finish().unwrap();
        self.compare(&restored, &snapshot.model);
        assert_eq!(restored.digest(), snapshot.digest, "seed {}", self.seed);
        restored.enforce_quotas(self.model.limited);
        for (op, who) in &snapshot.log {
            send(&mut restored, op, who, &mut Effects::default(), None);
        }
        assert_eq!(restored.digest(), self.state.digest(), "seed {}", self.seed);
        assert_eq!(restored.approximate_data_size(), self.state.approximate_data_size());
        assert_eq!(restored.ephemerals_count(), self.state.ephemerals_count());
        self.replica = restored;
        self.restored += 1;
    }

    fn compare(&self, state: &State, model: &Model) {
        let expected: BTreeMap<String, Znode> = model
            .nodes
            .iter()
            .map(|(path, node)| (path.clone(), Znode { stat: model.stat(path), ..node.clone() }))
            .collect();
        assert_eq!(contents(state), expected, "seed {}", self.seed);
        // ACL lists are kept as long as a znode carries them, and no longer.
        let lists = expected.values().map(|node| format!("{:?}", node.acl));
        let mut lists: Vec<String> =
            lists.filter(|list| *list != format!("{:?}", open())).collect();
        lists.sort_unstable();
        lists.dedup();
        assert_eq!(state.tree().acls.used().count(), lists.len(), "seed {}", self.seed);
        let sessions: BTreeMap<i64, (i32, u8)> =
            state.sessions().map(|(id, s)| (id, (s.timeout_ms, s.origin))).collect();
        assert_eq!(sessions, model.sessions, "seed {}", self.seed);
        assert_eq!(state.node_count(), model.nodes.len() + 1);
        let bytes =
            |(path, node): (&String, &Znode)| path.len() + node.data.as_ref().map_or(0, Vec::len);
        let bytes: usize = model.nodes.iter().map(bytes).sum();
        assert_eq!(state.approximate_data_size(), bytes as u64, "seed {}", self.seed);
        let tree = state.tree();
        for (id, _) in tree.walk(ROOT) {
            let below: Vec<usize> = tree.walk(id).map(|(id, _)| tree.data_len(id)).collect();
            let kept = (tree.descendants(id) as usize + 1, tree.bytes_from(id) as usize);
            assert_eq!(kept, (below.len(), below.iter().sum()), "seed {}", self.seed);
        }
    }
}

fn send(
    state: &mut State,
    op: &Op,
    who: &Sender,
    effects: &mut Effects,
    reply: Option<&mut Vec<u8>>,
) -> Code {
    let (body, identity) = (op.body(), who.identity.as_identity());
    let txn = Txn { session: who.session, identity, op: op.opcode(), body: &body };
    let mut logged = Vec::new();
    txn.encode(&mut logged);
    let txn = Txn::decode(&mut &logged[..]).unwrap();
    state.apply(who.stamp, who.origin, &txn, effects, reply)
}
