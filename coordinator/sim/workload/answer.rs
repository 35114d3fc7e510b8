//! What an answer tells, held against what is known.

use coordinator::wire::code::Code;
use coordinator::wire::multi::MultiResult;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::Reply;
use coordinator::wire::stat::Stat;

use super::guarded::User;
use super::reaped::Contents;
use super::{EPHEMERALS, Op, PAIR, Pending, QUEUE, marker, reaped};
use crate::check;
use crate::check::durable::Seen;
use crate::check::watch::{Shown, Watching};
use crate::world::World;

impl World {
    pub(super) fn succeeded(
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
        let times = &mut self.checks.times;
        let fits = |what: &str| format!("the reply to {:?} says {what}", pending.op);
        match &pending.op {
            Op::Set { path, .. } | Op::Create { path, .. } | Op::Delete { path }
                if !client.user.may_write(path) =>
            {
                return Err(fits("that it was done, which the list does not allow"));
            }
            Op::Get { path, .. } if client.user.may_read(path) == Some(false) => {
                return Err(fits("what the list does not let it read"));
            }
            _ => {}
        }
        match (&pending.op, reply) {
            (Op::Greedy(greedy), reply) => return greedy.judge(Ok(&reply)),
            // The last of them; a crash may come between.
            (Op::Lay, _) => client.laid |= pending.code == OpCode::Multi,
            (Op::Set { path, token, version }, Reply::Stat(stat)) => {
                if stat.mzxid != zxid {
                    return Err(fits(&format!("mzxid {:#x}, its header {zxid:#x}", stat.mzxid)));
                }
                if *version >= 0 && stat.version != version + 1 {
                    return Err(fits(&format!("version {}", stat.version)));
                }
                times.stamped(zxid, stat.mtime_ms);
                if client.user.may_read(path) == Some(true) {
                    client.watching.streams.data_shown(path, stat.version)?;
                }
                client.versions.insert(path.clone(), stat.version);
                history.set(path, token, zxid, stat.version)?;
            }
            (Op::Get { path, watch }, Reply::DataStat(data, stat)) => {
                history.read(path, zxid, seen(&stat, data.as_deref()), &who)?;
                client.versions.insert(path.clone(), stat.version);
                match client.user.may_read(path) {
                    Some(_) => client.watching.streams.data_shown(path, stat.version)?,
                    None => self.checks.access.read(c, zxid, Some(stat.aversion)),
                }
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
                if *watch && client.user.may_read(path) == Some(true) {
                    Watching::set(&mut client.watching.data, path, zxid);
                }
            }
            (Op::Children { path, watch }, Reply::StringsStat(children, stat)) => {
                let shown = Shown { mzxid: Some(stat.mzxid), pzxid: Some(stat.pzxid) };
                client.watching.shown(path, shown)?;
                if *watch {
                    Watching::set(&mut client.watching.child, path, zxid);
                }
                client.watching.streams.children_shown(path, stat.cversion)?;
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
            (Op::AddWatch { path, recursive }, Reply::Done) => {
                client.watching.streams.add(path, *recursive);
            }
            (Op::RemoveWatches { path, kind }, Reply::Done) => {
                if !client.watching.remove(path, *kind) {
                    return Err(fits("that a watch is gone, which was not there"));
                }
            }
            (Op::Flip { open }, Reply::Stat(stat)) => {
                if client.user != User::Ann {
                    return Err(fits("that it was done, which the list does not allow"));
                }
                self.checks.access.changed(zxid, stat.aversion, *open);
            }
            (Op::CreateContainer { path }, Reply::PathStat(..)) => {
                if let Some(container) = client.containers.get_mut(path) {
                    container.busy = false;
                }
            }
            (Op::Fill { path, token }, Reply::Path(_)) => {
                history.created(&reaped::child(path), token, zxid)?;
                if let Some(container) = client.containers.get_mut(path) {
                    container.contents = Contents::Full;
                    container.busy = false;
                }
            }
            (Op::Empty { path }, Reply::Done) => history.deleted(&reaped::child(path), zxid)?,
            (Op::CreateTtl { path, ttl_ms }, Reply::PathStat(_, stat)) => {
                times.stamped(zxid, stat.mtime_ms);
                times.created(path, stat.mtime_ms, *ttl_ms);
                client.ttls.push(path.clone());
            }
            (Op::Auth | Op::DeleteEphemeral { .. }, Reply::Done)
            | (Op::LookAtContainer { .. } | Op::LookAtTtl { .. }, Reply::Stat(_))
            | (Op::SetWatches, _) => {}
            (Op::Close, _) => {
                client.forget_session();
                self.drop_wire(c);
            }
            (_, reply) => return Err(fits(&format!("{reply:?}"))),
        }
        Ok(())
    }

    pub(super) fn multi_answered(
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

    pub(super) fn refused(
        &mut self,
        c: usize,
        pending: &Pending,
        zxid: i64,
        code: Code,
    ) -> Result<(), String> {
        if matches!(code, Code::SessionExpired | Code::SessionMoved) {
            return self.cut_off(c, pending, code);
        }
        // Refused before it came into the log: its zxid is that of what the server has applied.
        if let Op::Greedy(greedy) = &pending.op {
            return greedy.judge(Err(code));
        }
        let session = self.clients[c].session;
        let client = &mut self.clients[c];
        let history = &mut self.checks.durable;
        if pending.code.is_write() {
            self.checks.order.answered(zxid, pending.bound)?;
        }
        match (&pending.op, code) {
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
            (
                Op::Set { path, .. } | Op::Create { path, .. } | Op::Delete { path },
                Code::NoAuth,
            ) if !client.user.may_write(path) => {}
            (Op::Flip { .. }, Code::NoAuth) if client.user != User::Ann => {}
            (Op::Get { path, .. }, Code::NoAuth) => match client.user.may_read(path) {
                Some(true) => return Err(format!("{:?} was refused: {code}", pending.op)),
                Some(false) => {}
                None => self.checks.access.read(c, zxid, None),
            },
            (Op::RemoveWatches { path, kind }, Code::NoWatcher) => {
                if client.watching.remove(path, *kind) {
                    return Err(format!("{:?} found no watch, and there is one", pending.op));
                }
            }
            (Op::BadAuth, Code::AuthFailed) => self.drop_wire(c),
            (Op::LookAtContainer { path }, Code::NoNode) => return client.container_gone(path),
            (Op::Fill { path, token }, Code::NoNode) => {
                history.refused(&reaped::child(path), token);
                return client.container_gone(path);
            }
            (Op::LookAtTtl { path }, Code::NoNode) => {
                client.ttls.retain(|ttl| ttl != path);
                self.checks.times.absent(path, zxid);
            }
            (Op::Create { path, token }, Code::NodeExists) => history.refused(path, token),
            (Op::Lay, Code::NodeExists) | (Op::Delete { .. }, Code::NoNode) => {}
            (op, code) => return Err(format!("{op:?} was refused: {code}")),
        }
        Ok(())
    }

    /// The session is over, or has moved: the server ends the connection.
    pub(super) fn cut_off(
        &mut self,
        c: usize,
        pending: &Pending,
        code: Code,
    ) -> Result<(), String> {
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
}

pub(super) fn text(data: Option<&[u8]>) -> String {
    String::from_utf8_lossy(data.unwrap_or_default()).into_owned()
}

pub(super) fn seen(stat: &Stat, data: Option<&[u8]>) -> Seen {
    Seen::There {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        version: stat.version,
        token: data.map(|d| text(Some(d))),
    }
}
