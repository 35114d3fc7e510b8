//! Clients with real bytes: sessions, pipelined writes and reads, watches, ephemerals, reconnects
//! to other servers. What they send and see goes to the checkers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coordinator::random::Seeded;
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::frame;
use coordinator::wire::handshake::{ConnectRequest, ConnectResponse};
use coordinator::wire::jute::{Reader, Strings, put_strings};
use coordinator::wire::multi::{self, MultiResult};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{EventKind, Reply, ReplyHeader, WatcherEvent};
use coordinator::wire::request::{
    Create, PathVersion, Read, Request, RequestHeader, SetData, SetWatches, create_mode, xid,
};
use coordinator::wire::stat::Stat;

use crate::check;
use crate::check::durable::{DELETE, Seen};
use crate::check::watch::{Shown, Watching};
use crate::network::{MS, Micros, SECOND};
use crate::world::{What, World};

const REGISTERS: u64 = 4;
const TOGGLES: u64 = 4;
const PAIR: [&str; 2] = ["/pair-a", "/pair-b"];
const QUEUE: &str = "/queue";
const EPHEMERALS: &str = "/ephemerals";
const IN_FLIGHT_MAX: usize = 40;
/// A connection on which nothing comes of the handshake is given up.
const HANDSHAKE_US: Micros = 2 * SECOND;

/// A request and what its answer will tell.
#[derive(Clone, Debug)]
enum Op {
    /// A znode everybody needs; existing is fine.
    Lay,
    Set {
        path: String,
        token: String,
        version: i32,
    },
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    Create {
        path: String,
        token: String,
    },
    Delete {
        path: String,
    },
    CreateSequential {
        token: String,
    },
    DeleteSequential {
        name: String,
    },
    CreateEphemeral {
        path: String,
    },
    DeleteEphemeral {
        path: String,
    },
    Multi {
        token: String,
        fails: bool,
    },
    MultiRead,
    Sync,
    SetWatches,
    Ping,
    Close,
}

struct Pending {
    xid: i32,
    op: Op,
    code: OpCode,
    /// What was answered to anybody when this was sent.
    bound: i64,
}

pub struct Client {
    number: usize,
    random: Seeded,
    pub wire: Option<usize>,
    /// The handshake is answered.
    pub open: bool,
    dialled_us: Micros,
    pub session: i64,
    password: Vec<u8>,
    timeout_us: Micros,
    asks_timeout_ms: i32,
    last_zxid: i64,
    input: Vec<u8>,
    xid: i32,
    pending: VecDeque<Pending>,
    pings: u64,
    pub watching: Watching,
    heard_us: Micros,
    sent_us: Micros,
    tokens: u64,
    versions: BTreeMap<String, i32>,
    own_queued: Vec<String>,
    own_ephemerals: BTreeSet<String>,
    laid: bool,
    /// Hangs until then: neither sends nor reads its clock.
    hangs_until_us: Micros,
    /// Was never late with its pings in this session.
    pub awake: bool,
    /// Starts nothing new; pings go on.
    pub resting: bool,
    /// Never comes back.
    pub dead: bool,
    /// Writes answered since the faults ended.
    pub proofs: u64,
}

impl Client {
    pub fn new(number: usize, seed: u64) -> Client {
        let mut random = Seeded::new(seed);
        let asks_timeout_ms = random.range(2000, 8000) as i32;
        Client {
            number,
            random,
            wire: None,
            open: false,
            dialled_us: 0,
            session: 0,
            password: vec![0; 16],
            timeout_us: 0,
            asks_timeout_ms,
            last_zxid: 0,
            input: Vec::new(),
            xid: 0,
            pending: VecDeque::new(),
            pings: 0,
            watching: Watching::default(),
            heard_us: 0,
            sent_us: 0,
            tokens: 0,
            versions: BTreeMap::new(),
            own_queued: Vec::new(),
            own_ephemerals: BTreeSet::new(),
            laid: false,
            hangs_until_us: 0,
            awake: true,
            resting: false,
            dead: false,
            proofs: 0,
        }
    }

    pub fn idle(&self) -> bool {
        self.dead || self.open && self.pending.is_empty()
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("c{}.{}", self.number, self.tokens)
    }

    fn forget_session(&mut self) {
        self.session = 0;
        self.password = vec![0; 16];
        self.last_zxid = 0;
        self.watching = Watching { fired: self.watching.fired, ..Watching::default() };
        self.own_ephemerals.clear();
        self.awake = true;
    }
}

fn frame_of(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader { xid, op: request.op().as_i32() }.encode(&mut out);
    request.encode(&mut out);
    frame::end(&mut out, start);
    out
}

fn create<'a>(path: &'a str, data: &'a str, flags: i32) -> Create<'a> {
    Create { path, data: Some(data.as_bytes()), acl: open_acl(), flags, ttl_ms: 0 }
}

/// world:anyone, all permissions.
fn open_acl() -> AclList<'static> {
    const BYTES: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";
    AclList::decode(&mut Reader::new(BYTES)).expect("it is well formed")
}

fn text(data: Option<&[u8]>) -> String {
    String::from_utf8_lossy(data.unwrap_or_default()).into_owned()
}

fn seen(stat: &Stat, data: Option<&[u8]>) -> Seen {
    Seen::There {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        version: stat.version,
        token: data.map(|d| text(Some(d))),
    }
}

impl World {
    // ---- the connection ----

    /// The client's own turn: dial, ping, send something, give up.
    pub fn client_acts(&mut self, c: usize) {
        if self.clients[c].dead {
            return;
        }
        let delay = self.clients[c].random.range(MS, 40 * MS);
        self.schedule(delay, What::ClientActs { client: c });
        let now_us = self.now_us;
        let client = &mut self.clients[c];
        if now_us < client.hangs_until_us {
            return;
        }
        let Some(wire) = client.wire else {
            if now_us >= client.dialled_us {
                self.dial_any(c);
            }
            return;
        };
        if !client.open {
            if now_us > client.dialled_us + HANDSHAKE_US {
                self.drop_wire(c);
            }
            return;
        }
        if now_us > client.heard_us + client.timeout_us * 2 / 3 {
            self.drop_wire(c);
            return;
        }
        if now_us > client.sent_us + client.timeout_us / 3 {
            self.send(c, Op::Ping);
        }
        if self.clients[c].resting {
            return;
        }
        let client = &mut self.clients[c];
        if client.random.chance(1, 4000) {
            let for_us = client.random.range(SECOND, 12 * SECOND);
            client.hangs_until_us = now_us + for_us;
            client.awake = false;
            return;
        }
        if client.random.chance(1, 1500) {
            // Off to another server, as after a broken connection.
            self.client_closes(wire);
            self.drop_wire(c);
            return;
        }
        if client.random.chance(1, 3000) {
            self.send(c, Op::Close);
            return;
        }
        for _ in 0..self.clients[c].random.below(5) {
            let op = self.choose(c);
            self.send(c, op);
        }
    }

    fn dial_any(&mut self, c: usize) {
        let server = self.clients[c].random.below(self.servers.len() as u64) as usize;
        let wire = self.client_dials(c, server);
        let client = &mut self.clients[c];
        client.wire = Some(wire);
        client.open = false;
        client.dialled_us = self.now_us;
        client.heard_us = self.now_us;
        client.input.clear();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: client.last_zxid,
            timeout_ms: client.asks_timeout_ms,
            session: client.session,
            password: Some(&client.password),
            read_only: client.random.chance(1, 2).then_some(false),
        };
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes);
        request.encode(&mut bytes);
        frame::end(&mut bytes, start);
        self.client_sends(wire, bytes);
    }

    /// The connection is over for the client; what was not answered may have happened or not.
    fn drop_wire(&mut self, c: usize) {
        let Some(wire) = self.clients[c].wire.take() else { return };
        self.say(|| format!("client {c} is off server {}", self.wires[wire].server + 1));
        self.client_closes(wire);
        let client = &mut self.clients[c];
        client.open = false;
        client.pings = 0;
        client.dialled_us = self.now_us + client.random.range(MS, 200 * MS);
        let mut closed = false;
        for pending in std::mem::take(&mut client.pending) {
            match pending.op {
                Op::Delete { path } => self.checks.durable.try_write(&path, DELETE),
                Op::Close => closed = true,
                _ => {}
            }
        }
        if closed {
            client.forget_session();
        }
        self.stats.reconnects += 1;
    }

    pub fn client_sees_end(&mut self, wire: usize) {
        let c = self.wires[wire].client;
        if self.clients[c].wire == Some(wire) {
            self.drop_wire(c);
        }
    }

    pub fn client_receives(&mut self, wire: usize, bytes: &[u8]) {
        let c = self.wires[wire].client;
        if self.clients[c].wire != Some(wire) || self.clients[c].dead {
            return;
        }
        let client = &mut self.clients[c];
        client.heard_us = self.now_us;
        client.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut client.input);
        let mut taken = 0;
        while self.clients[c].wire == Some(wire) && self.failure.is_none() {
            let rest = &input[taken..];
            let Some((length, rest)) = rest.split_first_chunk::<4>() else { break };
            let length = i32::from_be_bytes(*length) as usize;
            let Some(payload) = rest.get(..length) else { break };
            taken += 4 + length;
            if let Err(why) = self.client_reads(c, payload) {
                self.fail(format!("client {c}: {why}"));
            }
        }
        if self.clients[c].wire == Some(wire) {
            self.clients[c].input = input[taken..].to_vec();
        }
    }

    fn client_reads(&mut self, c: usize, payload: &[u8]) -> Result<(), String> {
        if !self.clients[c].open {
            return self.handshake_answered(c, payload);
        }
        let malformed = |e| format!("a reply cannot be decoded: {e}");
        let mut reader = Reader::new(payload);
        let header = ReplyHeader::decode(&mut reader).map_err(malformed)?;
        if header.xid == xid::NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader).map_err(malformed)?;
            let kind = EventKind::from_i32(event.kind).ok_or("an event of no kind")?;
            return self.clients[c].watching.event(kind, event.path);
        }
        let session = self.clients[c].session;
        self.checks.session.replied(session, header.zxid)?;
        let client = &mut self.clients[c];
        client.last_zxid = client.last_zxid.max(header.zxid);
        if header.xid == xid::PING {
            client.pings =
                client.pings.checked_sub(1).ok_or("a ping was answered that was not sent")?;
            return Ok(());
        }
        let pending = client.pending.pop_front().ok_or("a reply that nobody waits for")?;
        if pending.xid != header.xid {
            return Err(format!(
                "xid {} was answered, {} ({:?}) is next in line",
                header.xid, pending.xid, pending.op
            ));
        }
        let code = Code::from_i32(header.err).ok_or("an error code that does not exist")?;
        if code == Code::Ok {
            let reply = Reply::decode(pending.code, &mut reader).map_err(malformed)?;
            if reader.remaining() > 0 {
                return Err(format!(
                    "{} bytes behind the reply to {:?}",
                    reader.remaining(),
                    pending.op
                ));
            }
            self.succeeded(c, &pending, header.zxid, reply)
        } else {
            self.refused(c, &pending, header.zxid, code)
        }
    }

    fn handshake_answered(&mut self, c: usize, payload: &[u8]) -> Result<(), String> {
        let response = ConnectResponse::decode(payload)
            .map_err(|e| format!("the handshake cannot be decoded: {e}"))?;
        let client = &mut self.clients[c];
        if response.session == 0 || response.timeout_ms == 0 {
            let session = client.session;
            if session == 0 {
                return Err("a new session was refused as expired".to_owned());
            }
            let gone = self.checks.session.get(session).is_none_or(|k| k.gone_us.is_some());
            if !gone {
                return Err(format!(
                    "session {session:#x} is called expired, and no server has ended it"
                ));
            }
            client.forget_session();
            self.drop_wire(c);
            return Ok(());
        }
        if client.session != 0 && client.session != response.session {
            return Err(format!("session {:#x} became {:#x}", client.session, response.session));
        }
        let fresh = client.session == 0;
        client.session = response.session;
        client.password = response.password.to_vec();
        client.timeout_us = response.timeout_ms as u64 * MS;
        client.open = true;
        client.xid = 0;
        let (session, timeout_ms) = (response.session, response.timeout_ms);
        self.say(|| format!("client {c} has session {session:#x}, {timeout_ms} ms"));
        let client = &mut self.clients[c];
        let opened =
            self.checks.session.opened(c, response.session, response.timeout_ms, client.last_zxid);
        opened?;
        if !client.laid {
            self.send(c, Op::Lay);
        }
        if !fresh && !self.clients[c].watching.is_empty() {
            self.send(c, Op::SetWatches);
        }
        Ok(())
    }

    // ---- requests ----

    fn choose(&mut self, c: usize) -> Op {
        let client = &mut self.clients[c];
        let register = format!("/register-{}", client.random.below(REGISTERS));
        let toggle = format!("/toggle-{}", client.random.below(TOGGLES));
        let watch = client.random.chance(1, 4);
        match client.random.below(30) {
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
            _ => Op::Sync,
        }
    }

    fn send(&mut self, c: usize, op: Op) {
        let Some(wire) = self.clients[c].wire else { return };
        if self.clients[c].pending.len() >= IN_FLIGHT_MAX && !matches!(op, Op::Ping) {
            return;
        }
        self.clients[c].sent_us = self.now_us;
        if matches!(op, Op::Ping) {
            self.clients[c].pings += 1;
            return self.client_sends(wire, frame_of(xid::PING, &Request::Ping));
        }
        if matches!(op, Op::Lay) {
            self.lay(c, wire);
            return;
        }
        self.announce(c, &op);
        let bound = self.checks.order.completed_zxid;
        let client = &mut self.clients[c];
        client.xid += 1;
        let xid = if matches!(op, Op::SetWatches) { xid::SET_WATCHES } else { client.xid };
        let (code, bytes) = encode(&op, xid, &client.watching, client.last_zxid);
        client.pending.push_back(Pending { xid, op, code, bound });
        self.client_sends(wire, bytes);
    }

    /// The znodes that the others stand on, made by whoever comes first.
    fn lay(&mut self, c: usize, wire: usize) {
        let mut paths: Vec<String> = vec![QUEUE.to_owned(), EPHEMERALS.to_owned()];
        paths.extend((0..REGISTERS).map(|n| format!("/register-{n}")));
        let mut body = Vec::new();
        for path in PAIR {
            multi::put_op(&mut body, &Request::Create(create(path, "first", 0)));
            self.checks.durable.try_write(path, "first");
        }
        multi::put_end(&mut body);
        let pair = Request::decode(OpCode::Multi, &body).expect("it was just made");
        for path in &paths {
            if path.starts_with("/register") {
                self.checks.durable.try_write(path, "first");
            }
        }
        let creates: Vec<_> =
            paths.iter().map(|p| Request::Create(create(p, "first", 0))).collect();
        for request in creates.iter().chain([&pair]) {
            let client = &mut self.clients[c];
            client.xid += 1;
            let bound = i64::MIN;
            let (xid, code) = (client.xid, request.op());
            client.pending.push_back(Pending { xid, op: Op::Lay, code, bound });
            let bytes = frame_of(xid, request);
            self.client_sends(wire, bytes);
        }
    }

    /// What may become true from now on.
    fn announce(&mut self, c: usize, op: &Op) {
        let session = self.clients[c].session;
        let history = &mut self.checks.durable;
        match op {
            Op::Set { path, token, .. } | Op::Create { path, token } => {
                history.try_write(path, token);
            }
            Op::CreateSequential { token } => history.try_sequential(QUEUE, token),
            Op::DeleteSequential { name } => history.try_delete_sequential(QUEUE, name),
            Op::Multi { token, .. } => {
                for path in PAIR {
                    history.try_write(path, token);
                }
                history.try_write(&marker(token), token);
            }
            Op::DeleteEphemeral { path } => {
                self.clients[c].own_ephemerals.remove(path);
                if let Some(known) = self.checks.session.get(session) {
                    known.ephemerals.insert(path.clone(), true);
                }
            }
            Op::Close => {
                if let Some(known) = self.checks.session.get(session) {
                    known.closing = true;
                }
            }
            _ => {}
        }
    }

    // ---- answers ----

    fn succeeded(
        &mut self,
        c: usize,
        pending: &Pending,
        zxid: i64,
        reply: Reply,
    ) -> Result<(), String> {
        let who = format!("client {c}");
        let session = self.clients[c].session;
        let is_write = pending.code.is_write();
        if is_write {
            self.checks.order.answered(zxid, pending.bound)?;
            self.clients[c].proofs += 1;
        }
        let client = &mut self.clients[c];
        let history = &mut self.checks.durable;
        let fits = |what: &str| format!("the reply to {:?} says {what}", pending.op);
        match (&pending.op, reply) {
            (Op::Lay, _) => client.laid = true,
            (Op::Set { path, token, version }, Reply::Stat(stat)) => {
                if stat.mzxid != zxid {
                    return Err(fits(&format!("mzxid {:#x}, its header {zxid:#x}", stat.mzxid)));
                }
                if *version >= 0 && stat.version != version + 1 {
                    return Err(fits(&format!("version {}", stat.version)));
                }
                client.versions.insert(path.clone(), stat.version);
                history.set(path, token, zxid, stat.version)?;
            }
            (Op::Get { path, watch }, Reply::DataStat(data, stat)) => {
                history.read(path, zxid, seen(&stat, data.as_deref()), &who)?;
                client.versions.insert(path.clone(), stat.version);
                let shown = Shown { mzxid: Some(stat.mzxid), pzxid: Some(stat.pzxid) };
                client.watching.shown(path, shown)?;
                if *watch {
                    Watching::set(&mut client.watching.data, path, zxid);
                }
            }
            (Op::Exists { path, .. }, Reply::Stat(stat)) if path.starts_with(EPHEMERALS) => {
                if stat.ephemeral_owner != session {
                    return Err(fits(&format!("owner {:#x}", stat.ephemeral_owner)));
                }
            }
            (Op::Exists { path, watch }, Reply::Stat(stat)) => {
                history.read(path, zxid, seen(&stat, None), &who)?;
                let shown = Shown { mzxid: Some(stat.mzxid), pzxid: Some(stat.pzxid) };
                client.watching.shown(path, shown)?;
                if *watch {
                    Watching::set(&mut client.watching.data, path, zxid);
                }
            }
            (Op::Children { path, watch }, Reply::StringsStat(children, stat)) => {
                let shown = Shown { mzxid: Some(stat.mzxid), pzxid: Some(stat.pzxid) };
                client.watching.shown(path, shown)?;
                if *watch {
                    Watching::set(&mut client.watching.child, path, zxid);
                }
                if path == QUEUE {
                    history.listed(path, &children, zxid)?;
                } else {
                    for name in &client.own_ephemerals {
                        let name = &name[EPHEMERALS.len() + 1..];
                        if !children.iter().any(|c| c == name) {
                            return self.checks.session.missing(session, &format!("{path}/{name}"));
                        }
                    }
                }
            }
            (Op::Create { path, token }, Reply::Path(_)) => history.created(path, token, zxid)?,
            (Op::Delete { path }, Reply::Done) => history.deleted(path, zxid)?,
            (Op::CreateSequential { token }, Reply::Path(path)) => {
                let name = path.strip_prefix("/queue/").ok_or_else(|| fits(&path))?;
                history.sequential_created(QUEUE, token, name, zxid)?;
                client.own_queued.push(name.to_owned());
            }
            (Op::DeleteSequential { name }, Reply::Done) => history.sequential_deleted(QUEUE, name),
            (Op::CreateEphemeral { path }, Reply::Path(_)) => {
                client.own_ephemerals.insert(path.clone());
                if let Some(known) = self.checks.session.get(session) {
                    known.ephemerals.insert(path.clone(), false);
                }
            }
            (Op::Multi { token, fails }, Reply::Multi(results)) => {
                return self.multi_answered(token, *fails, &results, zxid);
            }
            (Op::MultiRead, Reply::Multi(results)) => {
                let mut tokens = Vec::new();
                for (path, result) in PAIR.iter().zip(&results) {
                    match result {
                        MultiResult::GetData(data, stat) => {
                            history.read(path, zxid, seen(stat, data.as_deref()), &who)?;
                            tokens.push((text(data.as_deref()), stat.mzxid));
                        }
                        other => return Err(fits(&format!("{other:?}"))),
                    }
                }
                if tokens[0] != tokens[1] {
                    return Err(format!("half a multi was seen: {tokens:?} at {zxid:#x}"));
                }
            }
            (Op::Sync, Reply::Path(_)) => check::order::synced(zxid, pending.bound)?,
            (Op::SetWatches, _) | (Op::DeleteEphemeral { .. }, Reply::Done) => {}
            (Op::Close, _) => {
                client.forget_session();
                self.drop_wire(c);
            }
            (_, reply) => return Err(fits(&format!("{reply:?}"))),
        }
        Ok(())
    }

    fn multi_answered(
        &mut self,
        token: &str,
        fails: bool,
        results: &[MultiResult],
        zxid: i64,
    ) -> Result<(), String> {
        let history = &mut self.checks.durable;
        if fails {
            let expected = [0, 0, 0, Code::NoNode.as_i32()].map(MultiResult::Error);
            if results != expected {
                return Err(format!("a multi that must fail says {results:?}"));
            }
            for path in PAIR {
                history.refused(path, token);
            }
            history.refused(&marker(token), token);
            return Ok(());
        }
        match results {
            [MultiResult::SetData(a), MultiResult::SetData(b), MultiResult::Create(path)]
                if a.mzxid == zxid && b.mzxid == zxid && *path == marker(token) =>
            {
                history.set(PAIR[0], token, zxid, a.version)?;
                history.set(PAIR[1], token, zxid, b.version)?;
                history.created(path, token, zxid)
            }
            other => Err(format!("a multi says {other:?} at {zxid:#x}")),
        }
    }

    fn refused(
        &mut self,
        c: usize,
        pending: &Pending,
        zxid: i64,
        code: Code,
    ) -> Result<(), String> {
        if matches!(code, Code::SessionExpired | Code::SessionMoved) {
            return self.cut_off(c, pending, code);
        }
        let session = self.clients[c].session;
        let client = &mut self.clients[c];
        let history = &mut self.checks.durable;
        if pending.code.is_write() {
            self.checks.order.answered(zxid, pending.bound)?;
        }
        match (&pending.op, code) {
            (Op::Lay, Code::NodeExists) => client.laid = true,
            (Op::Set { path, token, version }, Code::BadVersion) if *version >= 0 => {
                client.versions.remove(path);
                history.refused(path, token);
            }
            (Op::Exists { path, watch }, Code::NoNode) => {
                client.watching.shown(path, Shown { mzxid: None, pzxid: None })?;
                if path.starts_with(EPHEMERALS) {
                    return self.checks.session.missing(session, path);
                }
                history.read(path, zxid, Seen::Absent, &format!("client {c}"))?;
                if *watch {
                    Watching::set(&mut client.watching.exist, path, zxid);
                }
            }
            (Op::Get { path, .. }, Code::NoNode) if path.starts_with("/toggle") => {
                client.watching.shown(path, Shown { mzxid: None, pzxid: None })?;
                history.read(path, zxid, Seen::Absent, &format!("client {c}"))?;
            }
            (Op::Create { path, token }, Code::NodeExists) => history.refused(path, token),
            (Op::Delete { .. }, Code::NoNode) => {}
            (op, code) => return Err(format!("{op:?} was refused: {code}")),
        }
        Ok(())
    }

    /// The session is over, or has moved: the server ends the connection.
    fn cut_off(&mut self, c: usize, pending: &Pending, code: Code) -> Result<(), String> {
        let session = self.clients[c].session;
        if code == Code::SessionExpired {
            let known = self.checks.session.get(session);
            if known.is_some_and(|k| k.gone_us.is_none()) {
                return Err(format!("{:?} says that session {session:#x} has expired", pending.op));
            }
        }
        self.drop_wire(c);
        Ok(())
    }

    /// Every client goes on with reads and pings alone.
    pub fn rest_all(&mut self) {
        for client in &mut self.clients {
            client.resting = true;
            client.hangs_until_us = 0;
        }
    }

    /// A write and a read of the client's own, to see that it is served.
    pub fn prove(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if !client.open || client.dead {
            return;
        }
        let op = Op::Set { path: "/register-0".to_owned(), token: client.token(), version: -1 };
        self.send(c, op);
        self.send(c, Op::Sync);
        self.send(c, Op::Get { path: "/register-0".to_owned(), watch: false });
    }

    /// The client is never heard of again.
    pub fn kill_client(&mut self, c: usize) {
        self.drop_wire(c);
        self.clients[c].dead = true;
    }
}

fn marker(token: &str) -> String {
    format!("/multi-{token}")
}

fn encode(op: &Op, xid: i32, watching: &Watching, last_zxid: i64) -> (OpCode, Vec<u8>) {
    let of = |request: Request<'_>| (request.op(), frame_of(xid, &request));
    match op {
        Op::Set { path, token, version } => {
            of(Request::SetData(SetData { path, data: Some(token.as_bytes()), version: *version }))
        }
        Op::Get { path, watch } => of(Request::GetData(Read { path, watch: *watch })),
        Op::Exists { path, watch } => of(Request::Exists(Read { path, watch: *watch })),
        Op::Children { path, watch } => of(Request::GetChildren2(Read { path, watch: *watch })),
        Op::Create { path, token } => of(Request::Create(create(path, token, 0))),
        Op::Delete { path } | Op::DeleteEphemeral { path } => {
            of(Request::Delete(PathVersion { path, version: -1 }))
        }
        Op::CreateSequential { token } => {
            let path = format!("{QUEUE}/{token}-");
            of(Request::Create(create(&path, token, create_mode::PERSISTENT_SEQUENTIAL)))
        }
        Op::DeleteSequential { name } => {
            let path = format!("{QUEUE}/{name}");
            of(Request::Delete(PathVersion { path: &path, version: -1 }))
        }
        Op::CreateEphemeral { path } => {
            of(Request::Create(create(path, "", create_mode::EPHEMERAL)))
        }
        Op::Multi { token, fails } => {
            let mut body = Vec::new();
            for path in PAIR {
                let data = Some(token.as_bytes());
                let set = SetData { path, data, version: -1 };
                multi::put_op(&mut body, &Request::SetData(set));
            }
            multi::put_op(&mut body, &Request::Create(create(&marker(token), token, 0)));
            if *fails {
                let check = PathVersion { path: "/never", version: -1 };
                multi::put_op(&mut body, &Request::Check(check));
            }
            multi::put_end(&mut body);
            of(Request::decode(OpCode::Multi, &body).expect("it was just made"))
        }
        Op::MultiRead => {
            let mut body = Vec::new();
            for path in PAIR {
                multi::put_op(&mut body, &Request::GetData(Read { path, watch: false }));
            }
            multi::put_end(&mut body);
            of(Request::decode(OpCode::MultiRead, &body).expect("it was just made"))
        }
        Op::Sync => of(Request::Sync("/")),
        Op::SetWatches => {
            let mut lists = [Vec::new(), Vec::new(), Vec::new()];
            let tables = [&watching.data, &watching.exist, &watching.child];
            for (list, table) in lists.iter_mut().zip(tables) {
                put_strings(list, table.keys().map(String::as_str));
            }
            let [data, exist, child] = &lists;
            of(Request::SetWatches(SetWatches {
                relative_zxid: last_zxid,
                data: strings(data),
                exist: strings(exist),
                child: strings(child),
                persistent: Strings::EMPTY,
                persistent_recursive: Strings::EMPTY,
            }))
        }
        Op::Close => of(Request::CloseSession),
        Op::Ping | Op::Lay => unreachable!("sent otherwise"),
    }
}

fn strings(bytes: &[u8]) -> Strings<'_> {
    Strings::decode(&mut Reader::new(bytes)).expect("just encoded")
}
