//! The naive model: a map of whole paths that does everything the slow, obvious way.

use super::{Op, Sender, Znode};
use coordinator::state::Stamp;
use coordinator::tree::node::Kind;
use coordinator::wire::acl::perms;
use coordinator::wire::code::Code;
use coordinator::wire::multi::MultiResult;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{AclEntry, EventKind, Reply};
use coordinator::wire::stat::Stat;
use std::collections::BTreeMap;

/// The path under a quota, what it may hold, and where that is counted.
const LIMITED: &str = "/a";
pub(super) const ZNODES_MAX: usize = 2;
pub(super) const BYTES_MAX: usize = 400;
pub(super) const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub nodes: BTreeMap<String, Znode>,
    pub sessions: BTreeMap<i64, (i32, u8)>,
    pub events: Vec<(EventKind, String)>,
    pub limited: bool,
    /// Lists may name users of SASL.
    pub principals: bool,
}

pub(super) fn open() -> Vec<AclEntry> {
    vec![AclEntry { perms: perms::ALL, scheme: "world".into(), id: "anyone".into() }]
}

fn parent_of(path: &str) -> String {
    match path.rfind('/').unwrap() {
        0 => "/".into(),
        end => path[..end].into(),
    }
}

pub(super) fn valid(path: &str) -> bool {
    path == "/"
        || (path.starts_with('/')
            && path[1..].split('/').all(|name| !["", ".", ".."].contains(&name))
            && !path.contains('\0'))
}

impl Model {
    pub(super) fn new() -> Self {
        let mut nodes = BTreeMap::new();
        for path in ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
            let (mut acl, mut stat) = (open(), Stat::default());
            if path == "/zookeeper/config" {
                acl[0].perms = perms::READ;
                stat.aversion = -1;
            }
            let data = Some(Vec::new());
            let kind = Kind::Persistent;
            nodes.insert(path.to_owned(), Znode { data, acl, kind, stat, creations: 0 });
        }
        Self {
            nodes,
            sessions: BTreeMap::new(),
            events: Vec::new(),
            limited: false,
            principals: false,
        }
    }

    pub(super) fn children(&self, path: &str) -> Vec<String> {
        let below = |p: &&String| p.as_str() != "/" && parent_of(p) == path;
        let name = |p: &String| p.rsplit('/').next().unwrap().to_owned();
        self.nodes.keys().filter(below).map(name).collect()
    }

    pub(super) fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        let children = self.children(path).len() as i32;
        Stat {
            cversion: 2 * node.creations - children,
            num_children: children,
            data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
            ephemeral_owner: if let Kind::Ephemeral(session) = node.kind { session } else { 0 },
            ..node.stat
        }
    }

    /// The exact key, or the root for the empty path.
    pub(super) fn get(&self, path: &str) -> Result<&Znode, Code> {
        self.nodes.get(if path.is_empty() { "/" } else { path }).ok_or(Code::NoNode)
    }

    pub(super) fn permit(&self, path: &str, wanted: i32, who: &Sender) -> Result<(), Code> {
        let (node, pairs) = (self.get(path)?, who.pairs());
        let granted = |acl: &AclEntry| {
            acl.perms & wanted != 0
                && (acl.scheme == "world"
                    || pairs.iter().any(|(s, i)| *s == acl.scheme && *i == acl.id))
        };
        let allowed =
            pairs.iter().any(|(scheme, _)| scheme == "super") || node.acl.iter().any(granted);
        if allowed { Ok(()) } else { Err(Code::NoAuth) }
    }

    fn fix_acl(&self, acl: &[AclEntry], who: &Sender) -> Result<Vec<AclEntry>, Code> {
        let mut fixed = Vec::new();
        for (at, entry) in acl.iter().enumerate() {
            if acl[..at].contains(entry) {
                continue;
            }
            match entry.scheme.as_str() {
                "auth" => {
                    let before = fixed.len();
                    for (scheme, id) in who.pairs().into_iter().filter(|(s, _)| s == "digest") {
                        fixed.push(AclEntry { perms: entry.perms, scheme, id });
                    }
                    if fixed.len() == before {
                        return Err(Code::InvalidAcl);
                    }
                }
                "world" | "digest" | "ip" => fixed.push(entry.clone()),
                "sasl" if self.principals => fixed.push(entry.clone()),
                _ => return Err(Code::InvalidAcl),
            }
        }
        if fixed.is_empty() { Err(Code::InvalidAcl) } else { Ok(fixed) }
    }

    fn check_session(&self, who: &Sender) -> Result<(), Code> {
        match self.sessions.get(&who.session) {
            None => Err(Code::SessionExpired),
            Some((_, origin)) if *origin != who.origin => Err(Code::SessionMoved),
            Some(_) => Ok(()),
        }
    }

    fn event(&mut self, kind: EventKind, path: &str) {
        self.events.push((kind, path.to_owned()));
    }

    /// Znodes and bytes under the quota, counted anew.
    fn counts(&self) -> (usize, usize) {
        let within = |path: &str| path == LIMITED || path.starts_with(&format!("{LIMITED}/"));
        let nodes = self.nodes.iter().filter(|(path, _)| within(path));
        nodes.fold((0, 0), |(znodes, bytes), (_, node)| {
            (znodes + 1, bytes + node.data.as_ref().map_or(0, Vec::len))
        })
    }

    /// Whether the quota allows this with a znode added or replaced.
    fn within_quota(&self, path: &str, node: Znode) -> Result<(), Code> {
        let mut after = self.clone();
        let before = after.nodes.insert(path.to_owned(), node);
        let ((znodes, bytes), now) = (after.counts(), self.counts());
        let over = znodes > ZNODES_MAX && before.is_none() && znodes > now.0
            || bytes > BYTES_MAX && bytes != now.1;
        if self.limited && over { Err(Code::QuotaExceeded) } else { Ok(()) }
    }

    pub(super) fn apply(&mut self, op: &Op, who: &Sender) -> Result<Reply, Code> {
        let done = self.apply_any(op, who);
        if self.limited {
            let (znodes, bytes) = self.counts();
            let text = format!("count={znodes},bytes={bytes}");
            self.nodes.get_mut(STATS).unwrap().data = Some(text.into_bytes());
        }
        done
    }

    fn apply_any(&mut self, op: &Op, who: &Sender) -> Result<Reply, Code> {
        match op {
            Op::OpenSession(timeout_ms) => {
                self.sessions.insert(who.session, (*timeout_ms, who.origin));
                Ok(Reply::Done)
            }
            Op::Attach(timeout_ms) => {
                let known = self.sessions.get_mut(&who.session).ok_or(Code::SessionExpired)?;
                *known = (*timeout_ms, who.origin);
                Ok(Reply::Done)
            }
            Op::Close => {
                self.sessions.remove(&who.session).ok_or(Code::SessionExpired)?;
                let mine = |node: &Znode| node.kind == Kind::Ephemeral(who.session);
                let paths: Vec<String> = self
                    .nodes
                    .iter()
                    .filter(|(_, node)| mine(node))
                    .map(|(path, _)| path.clone())
                    .collect();
                for path in paths {
                    self.remove(&path, who);
                }
                Ok(Reply::Done)
            }
            Op::Multi(parts) => {
                self.check_session(who)?;
                let before = self.clone();
                let mut results = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    match self.apply_one(part, who, true) {
                        Ok(reply) => results.push(result(part, reply)),
                        Err(code) => {
                            *self = before;
                            let codes = (0..parts.len()).map(|n| match n.cmp(&at) {
                                std::cmp::Ordering::Less => 0,
                                std::cmp::Ordering::Equal => code.as_i32(),
                                std::cmp::Ordering::Greater => -2,
                            });
                            return Ok(Reply::Multi(codes.map(MultiResult::Error).collect()));
                        }
                    }
                }
                Ok(Reply::Multi(results))
            }
            _ => self.apply_one(op, who, false),
        }
    }

    fn apply_one(&mut self, op: &Op, who: &Sender, in_multi: bool) -> Result<Reply, Code> {
        if !matches!(op, Op::Create { .. }) {
            self.check_session(who)?;
        }
        match op {
            Op::Create { .. } => self.create(op, who, in_multi),
            Op::Delete(path, version) => {
                if !path.contains('/')
                    || ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]
                        .contains(&path.as_str())
                {
                    return Err(Code::BadArguments);
                }
                let parent = &path[..path.rfind('/').unwrap()];
                self.permit(parent, perms::DELETE, who)?;
                let node = self.get(path)?;
                if *version != -1 && *version != node.stat.version {
                    return Err(Code::BadVersion);
                }
                if !self.children(path).is_empty() {
                    return Err(Code::NotEmpty);
                }
                self.remove(path, who);
                Ok(Reply::Done)
            }
            Op::Set(path, data, version) => {
                self.versioned(path, perms::WRITE, who, -1, |stat| stat.version)?;
                let with = Znode { data: data.clone(), ..self.get(path)?.clone() };
                self.within_quota(path, with)?;
                self.versioned(path, perms::WRITE, who, *version, |stat| stat.version)?;
                let node = self.nodes.get_mut(path).unwrap();
                node.data.clone_from(data);
                node.stat.version += 1;
                node.stat.mzxid = who.stamp.zxid;
                node.stat.mtime_ms = who.stamp.time_ms;
                self.event(EventKind::NodeDataChanged, path);
                Ok(Reply::Stat(self.stat(path)))
            }
            Op::SetAcl(path, acl, version) => {
                if !valid(path) {
                    return Err(Code::BadArguments);
                }
                let fixed = self.fix_acl(acl, who)?;
                self.versioned(path, perms::ADMIN, who, *version, |stat| stat.aversion)?;
                let node = self.nodes.get_mut(path).unwrap();
                node.acl = fixed;
                node.stat.aversion += 1;
                Ok(Reply::Stat(self.stat(path)))
            }
            Op::Check(path, version) => {
                self.versioned(path, perms::READ, who, *version, |stat| stat.version)?;
                Ok(Reply::Done)
            }
            Op::Reap(path) => {
                let node = self.get(path)?;
                if path == "/" || path.starts_with("/zookeeper") {
                    return Err(Code::BadArguments);
                }
                if !self.children(path).is_empty() {
                    return Err(Code::NotEmpty);
                }
                let due = match node.kind {
                    Kind::Container => node.creations > 0,
                    Kind::Ttl(ttl_ms) => who.stamp.time_ms - node.stat.mtime_ms > ttl_ms,
                    _ => false,
                };
                if !due {
                    return Err(Code::BadVersion);
                }
                self.remove(path, who);
                Ok(Reply::Done)
            }
            _ => unreachable!("handled by apply"),
        }
    }

    fn versioned(
        &self,
        path: &str,
        wanted: i32,
        who: &Sender,
        version: i32,
        of: impl Fn(&Stat) -> i32,
    ) -> Result<(), Code> {
        if !valid(path) {
            return Err(Code::BadArguments);
        }
        let is = of(&self.get(path)?.stat);
        self.permit(path, wanted, who)?;
        if version == -1 || version == is { Ok(()) } else { Err(Code::BadVersion) }
    }

    fn create(&mut self, op: &Op, who: &Sender, in_multi: bool) -> Result<Reply, Code> {
        let Op::Create { op, path, data, acl, flags, ttl_ms } = op else { unreachable!() };
        let kind = match (op, flags) {
            (OpCode::CreateTtl, 5 | 6) if *ttl_ms > 0 => Kind::Ttl(*ttl_ms),
            (OpCode::CreateTtl, _) | (_, 5 | 6) => return Err(Code::BadArguments),
            (OpCode::CreateContainer, _) => Kind::Container,
            (_, 4) if in_multi => Kind::Container,
            (_, 1 | 3) => Kind::Ephemeral(who.session),
            (_, 0 | 2 | 4) => Kind::Persistent,
            _ => return Err(Code::BadArguments),
        };
        self.check_session(who)?;
        let Some(cut) = path.rfind('/') else { return Err(Code::BadArguments) };
        let parent = if cut == 0 { "/" } else { &path[..cut] };
        let fixed = self.fix_acl(acl, who)?;
        self.permit(parent, perms::CREATE, who)?;
        let mut full = path.clone();
        if [2, 3, 6].contains(flags) {
            full = format!("{full}{:010}", self.nodes[parent].creations);
        }
        if !valid(&full) {
            return Err(Code::BadArguments);
        }
        if self.nodes.contains_key(&full) {
            return Err(Code::NodeExists);
        }
        if matches!(self.nodes[parent].kind, Kind::Ephemeral(_)) {
            return Err(Code::NoChildrenForEphemerals);
        }
        let Stamp { zxid, time_ms } = who.stamp;
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            ..Stat::default()
        };
        let node = Znode { data: data.clone(), acl: fixed, kind, stat, creations: 0 };
        self.within_quota(&full, node.clone())?;
        let above = self.nodes.get_mut(parent).unwrap();
        above.creations += 1;
        above.stat.pzxid = zxid;
        self.nodes.insert(full.clone(), node);
        self.event(EventKind::NodeCreated, &full);
        self.event(EventKind::NodeChildrenChanged, &parent_of(&full));
        if *op == OpCode::Create {
            Ok(Reply::Path(full))
        } else {
            let stat = self.stat(&full);
            Ok(Reply::PathStat(full, stat))
        }
    }

    fn remove(&mut self, path: &str, who: &Sender) {
        self.nodes.remove(path);
        let parent = parent_of(path);
        self.nodes.get_mut(&parent).unwrap().stat.pzxid = who.stamp.zxid;
        self.event(EventKind::NodeDeleted, path);
        self.event(EventKind::NodeChildrenChanged, &parent);
    }
}

fn result(part: &Op, reply: Reply) -> MultiResult {
    match (part, reply) {
        (_, Reply::Path(path)) => MultiResult::Create(path),
        (_, Reply::PathStat(path, stat)) => MultiResult::Create2(path, stat),
        (_, Reply::Stat(stat)) => MultiResult::SetData(stat),
        (Op::Delete(..), _) => MultiResult::Delete,
        _ => MultiResult::Check,
    }
}
