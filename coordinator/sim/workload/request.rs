//! From an operation to its frame, and what may become true once it is sent.

use coordinator::wire::acl::AclList;
use coordinator::wire::frame;
use coordinator::wire::jute::{Reader, Strings, put_strings};
use coordinator::wire::multi;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{
    Auth, Create, PathMode, PathVersion, Read, Request, RequestHeader, SetAcl, SetData, SetWatches,
    create_mode, xid,
};

use super::guarded::{ANNS, BOBS, FLIPS, GUARDED, User, YARD};
use super::reaped::{Container, Contents};
use super::{
    Client, EPHEMERALS, IN_FLIGHT_MAX, Op, PAIR, Pending, QUEUE, REGISTERS, guarded, marker, reaped,
};
use crate::world::World;

impl World {
    pub(super) fn send(&mut self, c: usize, op: Op) {
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
        if let Op::Greedy(greedy) = &op {
            return self.send_greedy(c, wire, greedy);
        }
        self.announce(c, &op);
        let bound = self.checks.order.completed_zxid;
        let client = &mut self.clients[c];
        client.xid += 1;
        let xid = match op {
            Op::SetWatches => xid::SET_WATCHES,
            Op::Auth | Op::BadAuth => xid::AUTH,
            _ => client.xid,
        };
        let (code, bytes) = encode(&op, xid, client);
        client.pending.push_back(Pending { xid, op, code, bound });
        self.client_sends(wire, bytes);
    }

    /// The znodes that the others stand on, made by whoever comes first.
    pub(super) fn lay(&mut self, c: usize, wire: usize) {
        let guarded = [GUARDED, ANNS, BOBS, FLIPS, YARD];
        let mut paths: Vec<String> =
            [QUEUE, EPHEMERALS].iter().chain(&guarded).map(|&p| p.to_owned()).collect();
        paths.extend((0..REGISTERS).map(|n| format!("/register-{n}")));
        let mut body = Vec::new();
        for path in PAIR {
            multi::put_op(&mut body, &Request::Create(create(path, "first", 0)));
            self.checks.durable.try_write(path, "first");
        }
        multi::put_end(&mut body);
        let pair = Request::decode(OpCode::Multi, &body).expect("it was just made");
        for path in &paths {
            if path.starts_with("/register") || path.starts_with("/guarded/") {
                self.checks.durable.try_write(path, "first");
            }
        }
        let lists: Vec<_> = paths.iter().map(|p| guarded::list(p)).collect();
        let creates: Vec<_> = paths
            .iter()
            .zip(&lists)
            .map(|(path, list)| {
                Request::Create(Create { acl: acl_list(list), ..create(path, "first", 0) })
            })
            .collect();
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
    pub(super) fn announce(&mut self, c: usize, op: &Op) {
        let session = self.clients[c].session;
        let history = &mut self.checks.durable;
        let client = &mut self.clients[c];
        match op {
            Op::Set { path, token, .. } | Op::Create { path, token }
                if client.user.may_write(path) =>
            {
                history.try_write(path, token);
            }
            Op::CreateContainer { path } => {
                let container = Container { contents: Contents::Never, busy: true };
                client.containers.insert(path.clone(), container);
            }
            Op::Fill { path, token } => {
                history.try_write(&reaped::child(path), token);
                if let Some(container) = client.containers.get_mut(path) {
                    container.busy = true;
                }
            }
            Op::Empty { path } => {
                if let Some(container) = client.containers.get_mut(path) {
                    container.contents = Contents::Emptied;
                }
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
                client.own_ephemerals.remove(path);
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
}

pub fn frame_of(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader { xid, op: request.op().as_i32() }.encode(&mut out);
    request.encode(&mut out);
    frame::end(&mut out, start);
    out
}

pub(super) fn create<'a>(path: &'a str, data: &'a str, flags: i32) -> Create<'a> {
    Create { path, data: Some(data.as_bytes()), acl: AclList::OPEN, flags, ttl_ms: 0 }
}

fn acl_list(bytes: &[u8]) -> AclList<'_> {
    AclList::decode(&mut Reader::new(bytes)).expect("it was just made")
}

fn encode(op: &Op, xid: i32, client: &Client) -> (OpCode, Vec<u8>) {
    let watching = &client.watching;
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
            let mut lists: [Vec<u8>; 5] = Default::default();
            let tables = [&watching.data, &watching.exist, &watching.child];
            for (list, table) in lists.iter_mut().zip(tables) {
                put_strings(list, table.keys().map(String::as_str));
            }
            put_strings(&mut lists[3], watching.streams.paths(false).into_iter());
            put_strings(&mut lists[4], watching.streams.paths(true).into_iter());
            let [data, exist, child, persistent, persistent_recursive] =
                lists.each_ref().map(|list| strings(list));
            let relative_zxid = client.last_zxid;
            let watches =
                SetWatches { relative_zxid, data, exist, child, persistent, persistent_recursive };
            if watching.streams.is_empty() {
                of(Request::SetWatches(watches))
            } else {
                of(Request::SetWatches2(watches))
            }
        }
        Op::AddWatch { path, recursive } => {
            of(Request::AddWatch(PathMode { path, mode: i32::from(*recursive) }))
        }
        Op::RemoveWatches { path, kind } => {
            of(Request::RemoveWatches(PathMode { path, mode: *kind }))
        }
        Op::Auth => {
            let auth = client.user.credentials().map(str::as_bytes);
            of(Request::Auth(Auth { kind: 0, scheme: "digest", auth }))
        }
        Op::BadAuth => of(Request::Auth(Auth { kind: 0, scheme: "smile", auth: Some(b":-)") })),
        Op::Flip { open } => {
            let list = guarded::owned(User::Ann, *open);
            of(Request::SetAcl(SetAcl { path: FLIPS, acl: acl_list(&list), version: -1 }))
        }
        Op::CreateContainer { path } => {
            of(Request::CreateContainer(create(path, "", create_mode::CONTAINER)))
        }
        Op::Fill { path, token } => of(Request::Create(create(&reaped::child(path), token, 0))),
        Op::Empty { path } => {
            of(Request::Delete(PathVersion { path: &reaped::child(path), version: -1 }))
        }
        Op::LookAtContainer { path } | Op::LookAtTtl { path } => {
            of(Request::Exists(Read { path, watch: false }))
        }
        Op::CreateTtl { path, ttl_ms } => {
            let flags = create_mode::PERSISTENT_WITH_TTL;
            of(Request::CreateTtl(Create { ttl_ms: *ttl_ms, ..create(path, "", flags) }))
        }
        Op::Close => of(Request::CloseSession),
        Op::Ping | Op::Lay | Op::Greedy(_) => unreachable!("sent otherwise"),
    }
}

pub(super) fn strings(bytes: &[u8]) -> Strings<'_> {
    Strings::decode(&mut Reader::new(bytes)).expect("just encoded")
}
