//! The client against real servers: each scenario in a chroot of its own.

use std::time::Duration;

use coordinator::client::{Client, CreateOptions, Error, Options, Servers, world};
use coordinator::wire::acl::{AclList, perms};
use coordinator::wire::code::Code;
use coordinator::wire::multi::{self, MultiResult};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{AclEntry, EventKind, Reply};
use coordinator::wire::request::{Create, PathVersion, Read, Request, SetData, create_mode};

use crate::engine::{Engine, Ensemble};

#[test]
fn client_against_apache_zookeeper() {
    let test = "client_against_apache_zookeeper";
    if Engine::Apache.is_there(test) {
        all(Ensemble::start(Engine::Apache, test, 1).address(0));
    }
}

#[test]
fn client_against_ours() {
    all(Ensemble::start(Engine::Ours, "client_against_ours", 1).address(0));
}

/// Through the leader, and through a follower that forwards.
#[test]
fn client_against_three_of_ours() {
    let ensemble = Ensemble::start(Engine::Ours, "client_against_three_of_ours", 3);
    let leader = ensemble.leader();
    all(ensemble.address((leader + 1) % 3));
}

fn all(address: &str) {
    basics(address);
    null_is_not_empty(address);
    sequential(address);
    sessions(address);
    pings_keep_the_session(address);
    handshake_of_44_bytes(address);
    next_server(address);
    events_keep_to_acls(address);
    acl_and_auth(address);
    transactions(address);
    multi_read(address);
    watches(address);
    watches_after_reconnect(address);
    persistent_watches(address);
    pipelining(address);
    lost_connection(address);
    other_operations(address);
    large_data(address);
}

/// A client whose root is the scenario's own znode.
fn client(address: &str, scenario: &str) -> Client {
    let mut outside = Client::connect(address).unwrap();
    match outside.create(&format!("/{scenario}"), None, CreateOptions::default()) {
        Ok(_) | Err(Error::Code(Code::NodeExists)) => {}
        Err(error) => panic!("{scenario}: {error}"),
    }
    outside.close().unwrap();
    Client::connect(&format!("{address}/{scenario}")).unwrap()
}

fn mode(mode: i32) -> CreateOptions<'static> {
    CreateOptions { mode, ..CreateOptions::default() }
}

fn basics(address: &str) {
    let mut zk = client(address, "basics");
    let (path, _) = zk.create("/a", Some(b"one"), CreateOptions::default()).unwrap();
    assert_eq!(path, "/a");
    let (data, stat) = zk.get_data("/a", false).unwrap();
    assert_eq!((data.as_deref(), stat.version, stat.data_length), (Some(&b"one"[..]), 0, 3));
    let stat = zk.set_data("/a", Some(b"three"), 0).unwrap();
    assert_eq!((stat.version, stat.data_length), (1, 5));
    assert!(stat.mzxid > stat.czxid);
    assert_eq!(zk.set_data("/a", None, 0).unwrap_err().code(), Some(Code::BadVersion));
    assert_eq!(zk.get_data("/b", false).unwrap_err().code(), Some(Code::NoNode));
    assert_eq!(zk.exists("/b", false).unwrap(), None);
    let again = zk.create("/a", None, CreateOptions::default());
    assert_eq!(again.unwrap_err().code(), Some(Code::NodeExists));
    let orphan = zk.create("/b/c", None, CreateOptions::default());
    assert_eq!(orphan.unwrap_err().code(), Some(Code::NoNode));
    zk.create("/a/child", None, CreateOptions::default()).unwrap();
    assert_eq!(zk.delete("/a", -1).unwrap_err().code(), Some(Code::NotEmpty));
    let (children, stat) = zk.get_children("/a", false).unwrap();
    assert_eq!((children, stat.num_children), (vec!["child".to_owned()], 1));
    zk.delete("/a/child", 0).unwrap();
    zk.delete("/a", -1).unwrap();
    assert_eq!(zk.get_children("/", false).unwrap().0, Vec::<String>::new());
    zk.close().unwrap();
}

fn null_is_not_empty(address: &str) {
    let mut zk = client(address, "null");
    zk.create("/null", None, CreateOptions::default()).unwrap();
    zk.create("/empty", Some(b""), CreateOptions::default()).unwrap();
    assert_eq!(zk.get_data("/null", false).unwrap().0, None);
    assert_eq!(zk.get_data("/empty", false).unwrap().0, Some(Vec::new()));
    zk.set_data("/empty", None, -1).unwrap();
    assert_eq!(zk.get_data("/empty", false).unwrap().0, None);
    zk.close().unwrap();
}

fn sequential(address: &str) {
    let mut zk = client(address, "sequential");
    let mut create = |path: &str| zk.create(path, None, mode(create_mode::PERSISTENT_SEQUENTIAL));
    assert_eq!(create("/q-").unwrap().0, "/q-0000000000");
    assert_eq!(create("/r-").unwrap().0, "/r-0000000001");
    assert_eq!(create("/s-").unwrap().0, "/s-0000000002");
    assert_eq!(create("/s-0000000002/").unwrap().0, "/s-0000000002/0000000000");
    zk.delete("/q-0000000000", -1).unwrap();
    let (path, _) = zk.create("/q-", None, mode(create_mode::PERSISTENT_SEQUENTIAL)).unwrap();
    assert_eq!(path, "/q-0000000003");
    zk.close().unwrap();
}

fn sessions(address: &str) {
    let mut owner = client(address, "sessions");
    let mut witness = client(address, "sessions");
    owner.create("/e", None, mode(create_mode::EPHEMERAL)).unwrap();
    let stat = witness.exists("/e", false).unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, owner.session().id);
    let below = owner.create("/e/x", None, CreateOptions::default());
    assert_eq!(below.unwrap_err().code(), Some(Code::NoChildrenForEphemerals));

    // The client dies; whoever has the password comes back as the same session.
    let session = owner.abandon();
    let servers = Servers::parse(&format!("{address}/sessions")).unwrap();
    let mut thief = session;
    thief.password[0] ^= 1;
    let refused = Client::open(servers.clone(), Options::default(), Some(thief)).map(drop);
    assert_eq!(refused, Err(Error::SessionExpired));
    let owner = Client::open(servers.clone(), Options::default(), Some(session)).unwrap();
    assert_eq!(owner.session().id, session.id);
    assert!(witness.exists("/e", false).unwrap().is_some());

    owner.close().unwrap();
    witness.sync("/").unwrap();
    assert_eq!(witness.exists("/e", false).unwrap(), None);
    let gone = Client::open(servers, Options::default(), Some(session)).map(drop);
    assert_eq!(gone, Err(Error::SessionExpired));
    witness.close().unwrap();
}

fn pings_keep_the_session(address: &str) {
    client(address, "pings").close().unwrap();
    let servers = Servers::parse(&format!("{address}/pings")).unwrap();
    let options = Options { session_timeout_ms: 1, ..Options::default() };
    let mut zk = Client::open(servers, options, None).unwrap();
    let timeout_ms = zk.session().timeout_ms;
    assert_eq!(timeout_ms, 1000, "two ticks are the least a server gives");
    zk.create("/e", None, mode(create_mode::EPHEMERAL)).unwrap();
    let session = zk.session();
    zk.wait_event(Duration::from_millis(2500)).unwrap();
    assert!(zk.exists("/e", false).unwrap().is_some());
    assert_eq!(zk.session(), session);
    zk.close().unwrap();
}

fn handshake_of_44_bytes(address: &str) {
    client(address, "short").close().unwrap();
    let servers = Servers::parse(&format!("{address}/short")).unwrap();
    let options = Options { read_only_byte: false, ..Options::default() };
    let mut zk = Client::open(servers, options, None).unwrap();
    zk.create("/a", None, CreateOptions::default()).unwrap();
    zk.disconnect();
    assert!(zk.exists("/a", false).unwrap().is_some());
    zk.close().unwrap();
}

/// A server that is not there is passed over, and named when all are like it.
fn next_server(address: &str) {
    let dead = "127.0.0.1:1";
    let mut zk = Client::connect(&format!("{dead},{address}")).unwrap();
    assert_eq!(zk.server(), address);
    assert!(zk.exists("/", false).unwrap().is_some());
    zk.close().unwrap();
    let options = Options { connect_timeout: Duration::ZERO, ..Options::default() };
    let error = Client::open(Servers::parse(dead).unwrap(), options, None).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { servers, .. } if servers == dead), "{error}");
}

fn acl_and_auth(address: &str) {
    let mut owner = client(address, "acl");
    owner.add_auth("digest", b"user:password").unwrap();
    let mine = [AclEntry { perms: perms::ALL, scheme: "auth".into(), id: String::new() }];
    let options = CreateOptions { acl: Some(&mine), ..CreateOptions::default() };
    owner.create("/mine", Some(b"secret"), options).unwrap();
    let (acl, _) = owner.get_acl("/mine").unwrap();
    assert_eq!(acl[0].scheme, "digest");
    assert!(acl[0].id.starts_with("user:"), "{acl:?}");

    let mut other = client(address, "acl");
    assert_eq!(other.get_data("/mine", false).unwrap_err().code(), Some(Code::NoAuth));
    other.add_auth("digest", b"user:password").unwrap();
    assert!(other.get_data("/mine", false).is_ok());
    // Credentials belong to the connection: the client sends them again.
    other.disconnect();
    assert!(other.get_data("/mine", false).is_ok());
    let users: Vec<_> = other.who_am_i().unwrap();
    assert!(users.contains(&("digest".to_owned(), "user".to_owned())), "{users:?}");

    let stat = owner.set_acl("/mine", &[world(perms::READ | perms::ADMIN)], 0).unwrap();
    assert_eq!(stat.aversion, 1);
    let again = owner.set_acl("/mine", &[world(perms::ALL)], 0);
    assert_eq!(again.unwrap_err().code(), Some(Code::BadVersion));
    let bad = [AclEntry { perms: perms::ALL, scheme: "nonsense".into(), id: "x".into() }];
    let options = CreateOptions { acl: Some(&bad), ..CreateOptions::default() };
    let refused = owner.create("/bad", None, options);
    assert_eq!(refused.unwrap_err().code(), Some(Code::InvalidAcl));
    let none = Create { path: "/acl/none", data: None, acl: AclList::NULL, flags: 0, ttl_ms: 0 };
    let refused = owner.call(&Request::Create(none));
    assert_eq!(refused.unwrap_err().code(), Some(Code::InvalidAcl));
    owner.close().unwrap();

    let refused = other.add_auth("nonsense", b"x").unwrap_err();
    assert_eq!(refused, Error::AuthFailed { scheme: "nonsense".to_owned() });
    assert!(!other.is_connected());
}

/// Nobody learns of znodes that it may not read (CVE-2024-23944).
fn events_keep_to_acls(address: &str) {
    use EventKind::{NodeCreated, NodeDeleted};
    let mut watcher = client(address, "guarded");
    watcher.add_watch("/", true).unwrap();
    let mut owner = client(address, "guarded");
    owner.add_auth("digest", b"user:password").unwrap();
    let mine = [AclEntry { perms: perms::ALL, scheme: "auth".into(), id: String::new() }];
    let options = CreateOptions { acl: Some(&mine), ..CreateOptions::default() };
    owner.create("/hidden", None, options).unwrap();
    owner.create("/hidden/child", None, options).unwrap();
    owner.set_data("/hidden", Some(b"x"), -1).unwrap();
    owner.delete("/hidden/child", -1).unwrap();
    owner.create("/shown", None, CreateOptions::default()).unwrap();
    let event = watcher.wait_event(Duration::from_secs(10)).unwrap().expect("an event");
    assert_eq!(
        (event.kind, event.path.as_str()),
        (NodeCreated as i32, "/shown"),
        "the first of all"
    );
    // Who may read it hears of it.
    watcher.add_auth("digest", b"user:password").unwrap();
    owner.delete("/hidden", -1).unwrap();
    let event = watcher.wait_event(Duration::from_secs(10)).unwrap().expect("an event");
    assert_eq!((event.kind, event.path.as_str()), (NodeDeleted as i32, "/hidden"));
    owner.close().unwrap();
    watcher.close().unwrap();
}

fn transactions(address: &str) {
    let mut zk = client(address, "multi");
    let mut all = zk.transaction();
    all.create("/a", None, create_mode::PERSISTENT, None)
        .set_data("/a", Some(b"x"), 0)
        .create("/a/s-", None, create_mode::PERSISTENT_SEQUENTIAL, None)
        .check("/a", 1)
        .create("/b", None, create_mode::EPHEMERAL, None)
        .delete("/b", 0);
    assert_eq!(all.len(), 6);
    let results = zk.commit(all).unwrap();
    let MultiResult::SetData(stat) = &results[1] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.czxid), (1, stat.mzxid));
    assert_eq!(results[0], MultiResult::Create("/multi/a".to_owned()));
    assert_eq!(results[2], MultiResult::Create("/multi/a/s-0000000000".to_owned()));
    assert_eq!(results[3], MultiResult::Check);
    assert_eq!(results[5], MultiResult::Delete);

    let mut none = zk.transaction();
    none.create("/c", None, create_mode::PERSISTENT, None)
        .check("/a", 7)
        .delete("/a", -1)
        .delete("/nope", -1);
    let results = zk.commit(none).unwrap();
    assert_eq!(results, [0, -103, -2, -2].map(MultiResult::Error));
    assert_eq!(zk.exists("/c", false).unwrap(), None);

    let empty = zk.transaction();
    assert!(empty.is_empty());
    assert_eq!(zk.commit(empty).unwrap(), []);
    zk.close().unwrap();
}

fn multi_read(address: &str) {
    let mut zk = client(address, "multiread");
    zk.create("/a", Some(b"x"), CreateOptions::default()).unwrap();
    let mut body = Vec::new();
    let read = |path| Read { path, watch: false };
    multi::put_op(&mut body, &Request::GetData(read("/multiread/a")));
    multi::put_op(&mut body, &Request::GetData(read("/multiread/nope")));
    multi::put_op(&mut body, &Request::GetChildren(read("/multiread")));
    multi::put_end(&mut body);
    let request = Request::decode(OpCode::MultiRead, &body).unwrap();
    let Reply::Multi(results) = zk.call(&request).unwrap() else { panic!() };
    assert!(matches!(&results[0], MultiResult::GetData(Some(data), _) if data == b"x"));
    assert_eq!(results[1], MultiResult::Error(-101));
    assert_eq!(results[2], MultiResult::GetChildren(vec!["a".to_owned()]));
    zk.close().unwrap();
}

fn events(zk: &mut Client, count: usize) -> Vec<(EventKind, String)> {
    (0..count)
        .map(|_| {
            let event = zk.wait_event(Duration::from_secs(10)).unwrap().expect("an event");
            (EventKind::from_i32(event.kind).unwrap(), event.path)
        })
        .collect()
}

fn watches(address: &str) {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let mut zk = client(address, "watches");
    assert_eq!(zk.exists("/a", true).unwrap(), None);
    zk.get_children("/", true).unwrap();
    // A read of a node that is not there leaves no watch, unless it is exists.
    assert!(zk.get_data("/a", true).is_err());
    zk.create("/a", None, CreateOptions::default()).unwrap();
    // The writer's own event comes before the reply to the write: no waiting here.
    let mut seen: Vec<_> =
        std::iter::from_fn(|| zk.take_event()).map(|e| (e.kind, e.path)).collect();
    seen.sort();
    let expected =
        [(NodeCreated as i32, "/a".to_owned()), (NodeChildrenChanged as i32, "/".into())];
    assert_eq!(seen, expected);

    // One-shot, and one event however often it was asked for.
    zk.get_data("/a", true).unwrap();
    zk.exists("/a", true).unwrap();
    zk.set_data("/a", Some(b"1"), -1).unwrap();
    zk.set_data("/a", Some(b"2"), -1).unwrap();
    assert_eq!(events(&mut zk, 1), [(NodeDataChanged, "/a".to_owned())]);
    assert_eq!(zk.take_event(), None);

    // Data and child watch of a node: one NodeDeleted.
    zk.get_data("/a", true).unwrap();
    zk.get_children("/a", true).unwrap();
    zk.delete("/a", -1).unwrap();
    assert_eq!(events(&mut zk, 1), [(NodeDeleted, "/a".to_owned())]);
    assert_eq!(zk.exists("/a", false).unwrap(), None);
    assert_eq!(zk.take_event(), None);

    // Removed watches are silent.
    zk.create("/b", None, CreateOptions::default()).unwrap();
    zk.get_data("/b", true).unwrap();
    zk.check_watches("/b", 2).unwrap();
    assert_eq!(zk.check_watches("/b", 1).unwrap_err().code(), Some(Code::NoWatcher));
    zk.remove_watches("/b", 2).unwrap();
    assert_eq!(zk.remove_watches("/b", 3).unwrap_err().code(), Some(Code::NoWatcher));
    zk.set_data("/b", None, -1).unwrap();
    assert_eq!(zk.take_event(), None);
    zk.close().unwrap();
}

fn watches_after_reconnect(address: &str) {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let mut zk = client(address, "rewatch");
    let mut other = client(address, "rewatch");
    for path in ["/changed", "/deleted", "/same"] {
        zk.create(path, None, CreateOptions::default()).unwrap();
        zk.get_data(path, true).unwrap();
    }
    zk.get_children("/changed", true).unwrap();
    assert_eq!(zk.exists("/created", true).unwrap(), None);
    zk.disconnect();
    other.set_data("/changed", None, -1).unwrap();
    other.create("/changed/child", None, CreateOptions::default()).unwrap();
    other.delete("/deleted", -1).unwrap();
    other.create("/created", None, CreateOptions::default()).unwrap();
    let mut seen = events(&mut zk, 4);
    seen.sort();
    let expected = [
        (NodeCreated, "/created".to_owned()),
        (NodeDeleted, "/deleted".to_owned()),
        (NodeDataChanged, "/changed".to_owned()),
        (NodeChildrenChanged, "/changed".to_owned()),
    ];
    assert_eq!(seen, expected);
    other.set_data("/same", None, -1).unwrap();
    assert_eq!(events(&mut zk, 1), [(NodeDataChanged, "/same".to_owned())]);
    zk.close().unwrap();
    other.close().unwrap();
}

fn persistent_watches(address: &str) {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let mut zk = client(address, "persistent");
    zk.create("/p", None, CreateOptions::default()).unwrap();
    zk.create("/r", None, CreateOptions::default()).unwrap();
    zk.add_watch("/p", false).unwrap();
    zk.add_watch("/r", true).unwrap();
    for round in 0..2 {
        zk.set_data("/p", None, -1).unwrap();
        zk.create("/p/c", None, CreateOptions::default()).unwrap();
        zk.delete("/p/c", -1).unwrap();
        zk.create("/r/c", None, CreateOptions::default()).unwrap();
        zk.set_data("/r/c", None, -1).unwrap();
        zk.delete("/r/c", -1).unwrap();
        let expected = [
            (NodeDataChanged, "/p"),
            (NodeChildrenChanged, "/p"),
            (NodeChildrenChanged, "/p"),
            (NodeCreated, "/r/c"),
            (NodeDataChanged, "/r/c"),
            (NodeDeleted, "/r/c"),
        ]
        .map(|(kind, path)| (kind, path.to_owned()));
        assert_eq!(events(&mut zk, expected.len()), expected, "round {round}");
        // In the second round they have been registered again by setWatches2.
        zk.disconnect();
    }
    zk.close().unwrap();
}

/// Many in flight: replies in order, reads see the writes before them, zxids never go back.
fn pipelining(address: &str) {
    const COUNT: usize = 3000;
    let mut zk = client(address, "pipelining");
    let path = |n: usize| format!("/pipelining/n{n}");
    for n in 0..COUNT {
        let data = n.to_string();
        let data = Some(data.as_bytes());
        let create = Create { path: &path(n), data, acl: AclList::OPEN, flags: 0, ttl_ms: 0 };
        zk.submit(&Request::Create(create)).unwrap();
        zk.submit(&Request::GetData(Read { path: &path(n), watch: false })).unwrap();
        zk.submit(&Request::SetData(SetData { path: &path(n), data: None, version: 1 })).unwrap();
        zk.submit(&Request::Delete(PathVersion { path: &path(n), version: 0 })).unwrap();
    }
    assert_eq!(zk.outstanding(), COUNT * 4);
    let mut zxid = 0;
    for n in 0..COUNT {
        let mut collect = || {
            let response = zk.collect().unwrap();
            assert!(response.zxid >= zxid, "zxid went back");
            zxid = response.zxid;
            response.result
        };
        assert_eq!(collect(), Ok(Reply::Path(path(n))));
        let read = collect();
        let expected = n.to_string().into_bytes();
        assert!(matches!(&read, Ok(Reply::DataStat(Some(data), _)) if *data == expected));
        assert_eq!(collect(), Err(Error::Code(Code::BadVersion)));
        assert_eq!(collect(), Ok(Reply::Done));
    }
    assert_eq!(zk.outstanding(), 0);
    zk.close().unwrap();
}

/// Requests in flight on a connection that breaks all come back, as lost.
fn lost_connection(address: &str) {
    let mut zk = client(address, "lost");
    let session = zk.session();
    for _ in 0..3 {
        zk.submit(&Request::Exists(Read { path: "/lost", watch: false })).unwrap();
    }
    zk.disconnect();
    for _ in 0..3 {
        assert!(matches!(zk.collect(), Err(Error::ConnectionLost(_))));
    }
    assert!(zk.exists("/", false).unwrap().is_some());
    assert_eq!(zk.session().id, session.id);
    zk.close().unwrap();
}

fn other_operations(address: &str) {
    let mut zk = client(address, "other");
    let (path, stat) = zk.create("/c", None, mode(create_mode::CONTAINER)).unwrap();
    assert_eq!((path.as_str(), stat.unwrap().ephemeral_owner), ("/c", 0));
    let ttl = CreateOptions {
        mode: create_mode::PERSISTENT_WITH_TTL,
        ttl_ms: 600_000,
        ..CreateOptions::default()
    };
    zk.create("/t", None, ttl).unwrap();
    zk.create("/c/e1", None, mode(create_mode::EPHEMERAL)).unwrap();
    zk.create("/e2", None, mode(create_mode::EPHEMERAL)).unwrap();
    let mut all = zk.get_ephemerals("/").unwrap();
    all.sort();
    assert_eq!(all, ["/c/e1", "/e2"]);
    assert_eq!(zk.get_ephemerals("/c").unwrap(), ["/c/e1"]);
    assert_eq!(zk.get_all_children_number("/").unwrap(), 4);
    zk.sync("/not/there").unwrap();
    assert!(zk.who_am_i().unwrap().contains(&("ip".to_owned(), "127.0.0.1".to_owned())));
    zk.close().unwrap();
}

/// As much as fits into a request of `jute.maxbuffer`, and one frame more than that.
fn large_data(address: &str) {
    let mut zk = client(address, "large");
    let data = vec![b'x'; 1_000_000];
    zk.create("/big", Some(&data), CreateOptions::default()).unwrap();
    assert_eq!(zk.get_data("/big", false).unwrap().0.as_deref(), Some(&data[..]));
    let data = vec![b'x'; 1_100_000];
    let error = zk.set_data("/big", Some(&data), -1).unwrap_err();
    assert!(matches!(error, Error::ConnectionLost(_)), "{error}");
    assert_eq!(zk.exists("/big", false).unwrap().unwrap().version, 0);
    zk.close().unwrap();
}
