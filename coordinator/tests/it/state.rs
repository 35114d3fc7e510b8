//! The state machine by scripts: a command a line, then what came out.
//!
//! `[SESSION[@SERVER]:] COMMAND`; sessions `a` and `b` exist and are served by server 1. Each
//! session is a connection with the address 10.0.0.N and watches of its own. Words are separated
//! by blanks; `\s`, `\0` and `\u{…}` stand for characters, `''` is empty, `null` is null.

use super::cases;
use coordinator::node::feature::LEVEL;
use coordinator::state::{
    Effects, IdentityBuf, ReapCursor, Restore, Stamp, State, Txn, WatchKind, Watches,
};
use coordinator::wire::acl::{Acl, AclList, put_acls};
use coordinator::wire::jute::{Reader, Strings, put_strings};
use coordinator::wire::multi::{MultiResult, put_end, put_op};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{AclEntry, Reply};
use coordinator::wire::request::{
    Create, PathVersion, Read, Request, SetAcl, SetData, SetWatches, create_mode,
};
use coordinator::wire::stat::Stat;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[test]
fn scripts() {
    cases::check("state", |script| {
        let mut world = World::new();
        let mut out = String::new();
        for line in script.lines() {
            if line.starts_with('#') {
                writeln!(out, "{line}").unwrap();
                continue;
            }
            writeln!(out, "> {line}").unwrap();
            let command = line.split(" #").next().unwrap_or_default().trim();
            for answer in world.run(command).lines() {
                writeln!(out, "  {answer}").unwrap();
            }
        }
        out
    });
}

struct World {
    state: State,
    watches: Watches,
    identities: BTreeMap<u8, IdentityBuf>,
    zxid: i64,
    time_ms: i64,
}

/// Who runs a command.
#[derive(Clone, Copy)]
struct Who {
    /// The letter of the session, which is also its id; `0` is the server itself.
    letter: u8,
    server: u8,
}

impl Who {
    fn session(self) -> i64 {
        if self.letter == b'0' { 0 } else { i64::from(self.letter) }
    }
}

impl World {
    fn new() -> Self {
        let mut state = State::new();
        state.cluster_mut().level = LEVEL;
        let mut world = Self {
            state,
            watches: Watches::new(),
            identities: BTreeMap::new(),
            zxid: 0,
            time_ms: 1000,
        };
        world.run("a: session 30000");
        world.run("b: session 30000");
        world
    }

    fn run(&mut self, command: &str) -> String {
        let (who, command) = match command.split_once(": ") {
            Some((who, command)) => {
                let (letter, server) = who.split_once('@').unwrap_or((who, "1"));
                (Who { letter: letter.as_bytes()[0], server: server.parse().unwrap() }, command)
            }
            None => (Who { letter: b'a', server: 1 }, command),
        };
        let words: Vec<String> = command.split_whitespace().map(unescape).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.dispatch(who, &words)
    }

    fn reapable(&self, never_used_ms: Option<i64>) -> Vec<String> {
        // One at a time, as if each tick looked at no more.
        let mut at = Some(ReapCursor::default());
        let mut found = Vec::new();
        while at.is_some() {
            found.extend(self.state.reapable(&mut at, self.time_ms, never_used_ms, 1, 100));
        }
        found
    }

    fn dispatch(&mut self, who: Who, words: &[&str]) -> String {
        let (name, args) = words.split_first().unwrap();
        match (*name, args) {
            ("time", [ms]) => {
                self.time_ms = ms.parse().unwrap();
                String::new()
            }
            ("addauth", [scheme, id]) => {
                self.identity(who).add(scheme, id);
                String::new()
            }
            ("watch", [kind, path]) => {
                let kind = match *kind {
                    "data" => WatchKind::Data,
                    "child" => WatchKind::Child,
                    "persistent" => WatchKind::Persistent,
                    "recursive" => WatchKind::PersistentRecursive,
                    other => panic!("no such watch: {other}"),
                };
                self.watches.register(u32::from(who.letter), path, kind);
                String::new()
            }
            ("watches", []) => self.list_watches(),
            ("removewatches", [kind, path]) => {
                self.watches.remove(who.letter.into(), path, kind.parse().unwrap()).to_string()
            }
            ("checkwatches", [kind, path]) => {
                self.watches.check(who.letter.into(), path, kind.parse().unwrap()).to_string()
            }
            ("disconnect", []) => {
                self.watches.drop_connection(who.letter.into());
                String::new()
            }
            ("setwatches", args) => self.set_watches(who, args),
            ("enforcequota", [enforced]) => {
                self.state.enforce_quotas(*enforced == "true");
                String::new()
            }
            ("reapable", []) => self.reapable(None).join(" "),
            ("reapable", [never_used_ms]) => {
                let never_used_ms = never_used_ms.parse().ok();
                self.reapable(never_used_ms).join(" ").replace('\0', "\\0")
            }
            ("counts", []) => format!(
                "nodes={} ephemerals={} bytes={} sessions={} zxid={}",
                self.state.node_count(),
                self.state.ephemerals_count(),
                self.state.approximate_data_size(),
                self.state.session_count(),
                self.state.last_zxid(),
            ),
            ("sessions", []) => {
                let mut out = String::new();
                for (id, session) in self.state.sessions() {
                    let (name, ms) = (id as u8 as char, session.timeout_ms);
                    writeln!(out, "{name} {ms} ms, server {}", session.origin).unwrap();
                }
                out
            }
            ("restore", []) => self.restore(),
            ("raw", [op, hex @ ..]) => {
                let op = OpCode::from_i32(op.parse().unwrap()).unwrap();
                let hex = hex.concat();
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let body: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                self.send(who, op, &body)
            }
            ("config", [text]) => self.send(who, OpCode::Reconfig, text.as_bytes()),
            ("multi" | "multiread", args) => {
                let mut body = Vec::new();
                for part in args.split(|word| *word == ";").filter(|part| !part.is_empty()) {
                    with_request(part, |request| put_op(&mut body, request));
                }
                put_end(&mut body);
                let op = if *name == "multi" { OpCode::Multi } else { OpCode::MultiRead };
                self.send(who, op, &body)
            }
            _ => {
                let mut sent = (OpCode::Ping, Vec::new());
                with_request(words, |request| {
                    sent.0 = request.op();
                    request.encode(&mut sent.1);
                });
                self.send(who, sent.0, &sent.1)
            }
        }
    }

    fn identity(&mut self, who: Who) -> &mut IdentityBuf {
        let number = who.letter.wrapping_sub(b'a').wrapping_add(1);
        self.identities.entry(who.letter).or_insert_with(|| {
            if who.letter == b'0' {
                IdentityBuf::superuser()
            } else {
                IdentityBuf::new(format!("10.0.0.{number}").parse().unwrap())
            }
        })
    }

    fn send(&mut self, who: Who, op: OpCode, body: &[u8]) -> String {
        let identity = self.identity(who).clone();
        let mut reply = Vec::new();
        let mut out = String::new();
        let code = if op.is_write() {
            self.zxid += 1;
            let stamp = Stamp { zxid: self.zxid, time_ms: self.time_ms };
            let (session, identity) = (who.session(), identity.as_identity());
            let txn = Txn { session, identity, op, body };
            let mut effects = Effects::new(!self.watches.is_empty());
            let code = self.state.apply(stamp, who.server, &txn, &mut effects, Some(&mut reply));
            let mut told = Vec::new();
            self.watches.fire(&effects, |conn, kind, path, _| {
                told.push((path.to_owned(), kind.name(), conn as u8 as char));
            });
            // Connections hear of one event in no particular order: sort within an event.
            let same =
                |a: &(String, &str, char), b: &(String, &str, char)| (&a.0, a.1) == (&b.0, b.1);
            for event in told.chunk_by_mut(same) {
                event.sort_by_key(|(_, _, conn)| *conn);
                for (path, kind, conn) in event.iter() {
                    writeln!(out, "{conn} sees {kind} {}", escape(path)).unwrap();
                }
            }
            for session in &effects.closed {
                writeln!(out, "session {} closed", *session as u8 as char).unwrap();
            }
            code
        } else {
            let identity = identity.as_identity();
            let result = self.state.read(who.session(), identity, op, body, &mut reply);
            if let Some(watch) = result.watch {
                writeln!(out, "watches {:?} {}", watch.kind, escape(watch.path)).unwrap();
                self.watches.register(who.letter.into(), watch.path, watch.kind);
            }
            result.code
        };
        if code.as_i32() == 0 {
            let mut reader = Reader::new(&reply);
            out.push_str(&show(&Reply::decode(op, &mut reader).unwrap()));
            assert_eq!(reader.remaining(), 0, "bytes behind the reply");
        } else {
            assert!(reply.is_empty(), "a body behind an error");
            writeln!(out, "{} {code}", code.as_i32()).unwrap();
        }
        out
    }

    fn set_watches(&mut self, who: Who, args: &[&str]) -> String {
        let lists = |name: &str| {
            let mut bytes = Vec::new();
            let list = args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
            let paths: Vec<&str> = list.map_or(Vec::new(), |list| list.split(',').collect());
            put_strings(&mut bytes, paths.into_iter());
            bytes
        };
        let names = ["data", "exist", "child", "persistent", "recursive"];
        let encoded = names.map(lists);
        let [data, exist, child, persistent, persistent_recursive] =
            [0, 1, 2, 3, 4].map(|at| Strings::decode(&mut Reader::new(&encoded[at])).unwrap());
        let request = SetWatches {
            relative_zxid: args[0].parse().unwrap(),
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        };
        let mut out = String::new();
        self.watches.set_watches(who.letter.into(), &self.state, &request, |kind, path| {
            writeln!(out, "{} {path}", kind.name()).unwrap();
        });
        out
    }

    fn list_watches(&self) -> String {
        let summary = self.watches.summary();
        let mut out = format!(
            "{} connections, {} paths, {} watches\n",
            summary.connections, summary.paths, summary.watches
        );
        for (path, conn) in self.watches.by_path() {
            writeln!(out, "{path} {}", conn as u8 as char).unwrap();
        }
        out
    }

    /// Goes on with a state made from a snapshot of this one.
    fn restore(&mut self) -> String {
        let before = self.state.digest();
        self.state = snapshot(&mut self.state);
        if self.state.digest() == before { "same digest".into() } else { "DIFFERENT".into() }
    }
}

/// A copy, by way of a snapshot.
pub(crate) fn snapshot(state: &mut State) -> State {
    let mut restore = Restore::new();
    state.snapshot_begin();
    loop {
        let mut chunk = Vec::new();
        let done = state.snapshot_step(3, &mut chunk);
        restore.chunk(&chunk).unwrap();
        if done {
            return restore.finish().unwrap();
        }
    }
}

fn unescape(word: &str) -> String {
    let mut out = String::new();
    let mut rest = if word == "''" { "" } else { word };
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escaped = &rest[at + 1..];
        let (c, len) = match escaped.as_bytes()[0] {
            b's' => (' ', 1),
            b'0' => ('\0', 1),
            b'u' => {
                let end = escaped.find('}').unwrap();
                let code = u32::from_str_radix(&escaped[2..end], 16).unwrap();
                (char::from_u32(code).unwrap(), end + 1)
            }
            _ => panic!("no such escape in {word}"),
        };
        out.push(c);
        rest = &escaped[len..];
    }
    out.push_str(rest);
    out
}

fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c == ' ' { vec!['\\', 's'] } else { c.escape_debug().collect() })
        .collect()
}

fn bytes(word: &str) -> Option<&[u8]> {
    (word != "null").then_some(word.as_bytes())
}

/// `scheme:id:perms,…`; the id may have colons of its own.
fn with_acl(word: Option<&&str>, run: impl FnOnce(AclList<'_>)) {
    let Some(word) = word else { return run(AclList::OPEN) };
    match *word {
        "null" => return run(AclList::NULL),
        "empty" => return run(AclList::EMPTY),
        _ => {}
    }
    let mut encoded = Vec::new();
    let entries: Vec<Acl<'_>> = word
        .split(',')
        .map(|entry| {
            let (scheme, rest) = entry.split_once(':').unwrap();
            let (id, letters) = rest.rsplit_once(':').unwrap();
            let bit = |letter| 1 << "rwcda".find(letter).unwrap();
            Acl { perms: letters.chars().map(bit).sum(), scheme, id }
        })
        .collect();
    put_acls(&mut encoded, entries.into_iter());
    run(AclList::decode(&mut Reader::new(&encoded)).unwrap());
}

/// Parses a command that is one request.
fn with_request(words: &[&str], run: impl FnOnce(&Request<'_>)) {
    let (name, args) = words.split_first().unwrap();
    let version = |at: usize| args.get(at).map_or(-1, |word| word.parse().unwrap());
    let path = args.first().copied().unwrap_or("/");
    match *name {
        "create" => with_create(args, run),
        "delete" => run(&Request::Delete(PathVersion { path, version: version(1) })),
        "check" => run(&Request::Check(PathVersion { path, version: version(1) })),
        "set" => {
            run(&Request::SetData(SetData { path, data: bytes(args[1]), version: version(2) }));
        }
        "setacl" => with_acl(args.get(1), |acl| {
            run(&Request::SetAcl(SetAcl { path, acl, version: version(2) }));
        }),
        "reap" => run(&Request::DeleteContainer(path)),
        "session" => run(&Request::CreateSession { timeout_ms: version(0) }),
        "attach" => run(&Request::AttachSession { timeout_ms: version(0) }),
        "close" => run(&Request::CloseSession),
        "whoami" => run(&Request::WhoAmI),
        "ephemerals" => run(&Request::GetEphemerals(args.first().copied().unwrap_or_default())),
        "count" => run(&Request::GetAllChildrenNumber(path)),
        "getacl" => run(&Request::GetAcl(path)),
        "get" | "exists" | "ls" | "ls2" => {
            let read = Read { path, watch: args.get(1) == Some(&"-w") };
            run(&match *name {
                "get" => Request::GetData(read),
                "exists" => Request::Exists(read),
                "ls" => Request::GetChildren(read),
                _ => Request::GetChildren2(read),
            });
        }
        other => panic!("no such command: {other}"),
    }
}

/// `create [-2] [-e] [-s] [-c] [-t MS] [-f FLAGS] PATH [DATA [ACL]]`
fn with_create(args: &[&str], run: impl FnOnce(&Request<'_>)) {
    let (mut op, mut flags, mut ttl_ms) = (OpCode::Create, create_mode::PERSISTENT, 0);
    let mut words = args.iter();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap().parse::<i64>().unwrap();
        match *word {
            "-2" => op = OpCode::Create2,
            "-e" => flags |= create_mode::EPHEMERAL,
            "-s" if op == OpCode::CreateTtl => flags = create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL,
            "-s" => flags |= create_mode::PERSISTENT_SEQUENTIAL,
            "-c" => (op, flags) = (OpCode::CreateContainer, create_mode::CONTAINER),
            "-t" => {
                (op, flags) = (OpCode::CreateTtl, create_mode::PERSISTENT_WITH_TTL);
                ttl_ms = number();
            }
            "-f" => flags = number() as i32,
            other => rest.push(other),
        }
    }
    let data = rest.get(1).map_or(Some(&b""[..]), |word| bytes(word));
    with_acl(rest.get(2), |acl| {
        let create = Create { path: rest[0], data, acl, flags, ttl_ms };
        run(&match op {
            OpCode::Create2 => Request::Create2(create),
            OpCode::CreateContainer => Request::CreateContainer(create),
            OpCode::CreateTtl => Request::CreateTtl(create),
            _ => Request::Create(create),
        });
    });
}

fn show(reply: &Reply) -> String {
    match reply {
        Reply::Done => "ok\n".into(),
        Reply::Path(path) => format!("{}\n", escape(path)),
        Reply::PathStat(path, stat) => format!("{} {}\n", escape(path), show_stat(stat)),
        Reply::Stat(stat) => format!("{}\n", show_stat(stat)),
        Reply::DataStat(data, stat) => {
            format!("{} {}\n", show_data(data.as_deref()), show_stat(stat))
        }
        Reply::AclStat(acl, stat) => {
            let entries: Vec<String> = acl.iter().map(show_acl).collect();
            format!("{} {}\n", entries.join(","), show_stat(stat))
        }
        Reply::Strings(names) => format!("{}\n", show_names(names)),
        Reply::StringsStat(names, stat) => format!("{} {}\n", show_names(names), show_stat(stat)),
        Reply::Count(count) => format!("{count}\n"),
        Reply::Multi(results) => results.iter().map(show_result).collect(),
        Reply::Token(_) => unreachable!("no state machine answers sasl"),
        Reply::Identities(ids) => {
            let lines: Vec<_> =
                ids.iter().map(|(scheme, user)| format!("{scheme} {user}")).collect();
            lines.join("\n")
        }
    }
}

fn show_result(result: &MultiResult) -> String {
    match result {
        MultiResult::Create(path) => format!("create {}\n", escape(path)),
        MultiResult::Create2(path, stat) => {
            format!("create2 {} {}\n", escape(path), show_stat(stat))
        }
        MultiResult::SetData(stat) => format!("set {}\n", show_stat(stat)),
        MultiResult::Delete => "delete\n".into(),
        MultiResult::Check => "check\n".into(),
        MultiResult::GetData(data, stat) => {
            format!("get {} {}\n", show_data(data.as_deref()), show_stat(stat))
        }
        MultiResult::GetChildren(names) => format!("ls {}\n", show_names(names)),
        MultiResult::Error(code) => format!("error {code}\n"),
    }
}

/// Zxids, then what differs from a node just made.
fn show_stat(stat: &Stat) -> String {
    let mut out = format!(
        "[c={}@{} m={}@{} p={} v={} cv={} av={}",
        stat.czxid,
        stat.ctime_ms,
        stat.mzxid,
        stat.mtime_ms,
        stat.pzxid,
        stat.version,
        stat.cversion,
        stat.aversion
    );
    if stat.ephemeral_owner != 0 {
        write!(out, " owner={}", stat.ephemeral_owner as u8 as char).unwrap();
    }
    write!(out, " len={} kids={}]", stat.data_length, stat.num_children).unwrap();
    out
}

fn show_data(data: Option<&[u8]>) -> String {
    match data {
        None => "null".into(),
        Some([]) => "''".into(),
        Some(data) => escape(&String::from_utf8_lossy(data)),
    }
}

/// Sorted: the order of children means nothing.
fn show_names(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    if names.is_empty() { "(none)".into() } else { names.join(" ") }
}

fn show_acl(entry: &AclEntry) -> String {
    let letters: String = "rwcda"
        .char_indices()
        .filter(|(at, _)| entry.perms & 1 << at != 0)
        .map(|(_, c)| c)
        .collect();
    format!("{}:{}:{letters}", entry.scheme, entry.id)
}
