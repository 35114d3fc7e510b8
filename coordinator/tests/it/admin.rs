//! What operators read, from one picture of a server: `tests/cases/admin`.
//!
//! A case is one line, the server's role and what is asked of it: `leader word srvr`,
//! `follower json dump`, `leader metrics`. Over HTTP the same goes through real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use coordinator::admin::environment::Environment;
use coordinator::admin::histogram::Histogram;
use coordinator::admin::http::{self, Site};
use coordinator::admin::view::{
    ConnectionView, DirectoriesView, LogView, MemberView, ProcessView, QuotaView, RaftView,
    ResponseSize, Role, Serving, SessionView, SessionsView, SnapshotView, TrafficView, TreeView,
    View, WatchesView,
};
use coordinator::admin::words::Word;
use coordinator::admin::{json, metrics, words};
use coordinator::config::Config;
use coordinator::state::QuotaUsage;

#[test]
fn cases() {
    crate::cases::check("admin", |input| {
        let (role, question) = input.trim().split_once(' ').unwrap();
        let (view, config) = (view(role), config(role));
        let environment = environment();
        match question.split_once(' ').unwrap_or((question, "")) {
            ("word", name) => {
                let word = Word::from_bytes(name.as_bytes().try_into().unwrap()).unwrap();
                let mut out = Vec::new();
                words::answer(word, &view, &config, &environment, &mut out);
                let action = word.action(&view, &config);
                let action = action.map(|action| format!("[{action:?}]")).unwrap_or_default();
                String::from_utf8(out).unwrap() + &action
            }
            ("json", name) => json::answer(json::find(name).unwrap(), &view, &config, &environment),
            ("metrics", _) => metrics::render(&view),
            (other, _) => panic!("`{other}` is no question of these cases"),
        }
    });
}

/// Every word of the wire is understood here, and the other way round.
#[test]
fn words_of_the_wire() {
    for word in coordinator::wire::frame::WORDS {
        assert!(Word::from_bytes(*word).is_some(), "{}", String::from_utf8_lossy(word));
    }
    for word in Word::ALL {
        assert!(coordinator::wire::frame::is_word(word.name().as_bytes().try_into().unwrap()));
    }
}

/// The expression by which go-zk finds its way through `srvr`, step by step.
#[test]
fn srvr_is_what_go_zk_matches() {
    let mut out = Vec::new();
    words::answer(Word::Srvr, &view("leader"), &config("leader"), &environment(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines();
    let version = lines.next().unwrap().strip_prefix("Zookeeper version: ").unwrap();
    let (version, built) = version.split_once(", built on ").unwrap();
    assert!(version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-'));
    let shape: String = built.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00/00/0000 00:00 GMT");
    let latency = lines.next().unwrap().strip_prefix("Latency min/avg/max: ").unwrap();
    let figures: Vec<&str> = latency.split('/').collect();
    assert!(figures[0].parse::<i64>().is_ok() && figures[2].parse::<i64>().is_ok());
    assert!(figures[1].contains('.'));
    for name in ["Received: ", "Sent: ", "Connections: ", "Outstanding: "] {
        assert!(lines.next().unwrap().strip_prefix(name).unwrap().parse::<i64>().is_ok());
    }
    assert!(lines.next().unwrap().starts_with("Zxid: 0x"));
    assert_eq!(lines.next(), Some("Mode: leader"));
    assert!(lines.next().unwrap().starts_with("Node count: "));
}

#[test]
fn http_reads_and_refuses() {
    let address = serve(true);
    let (head, body) = get(address, "GET /commands/ruok HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({"command": "ruok", "error": null}));

    let (_, body) = get(address, "GET /commands/nosuch?x=1 HTTP/1.0\r\n\r\n");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"], "Unknown command: nosuch");

    let (head, body) = get(address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.contains("text/plain; version=0.0.4") && body.is_empty(), "{head}");
    for command in json::COMMANDS {
        let (_, body) = get(address, &format!("GET /commands/{} HTTP/1.1\r\n\r\n", command.name));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["command"], command.name);
    }
    let (_, page) = get(address, "GET /commands HTTP/1.1\r\n\r\n");
    assert!(page.contains("<a href=\"/commands/stats\">stats</a>"), "{page}");

    for (request, status) in [
        ("POST /commands/stat_reset HTTP/1.1\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /commandsx HTTP/1.1\r\n\r\n", "404"),
        ("GET /commands/../x HTTP/1.1\r\n\r\n", "200"),
        ("hello\r\n\r\n", "400"),
        ("GET /metrics HTTP/2\r\n\r\n", "400"),
    ] {
        let (head, _) = get(address, request);
        assert_eq!(head.split(' ').nth(1), Some(status), "{request:?}: {head}");
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000));
    let (head, _) = get(address, &long);
    assert_eq!(head.split(' ').nth(1), Some("431"));
}

/// Silent connections hold no place that somebody else asks for: the oldest goes.
#[test]
fn http_connections_are_bounded() {
    let address = serve(false);
    let mut silent: Vec<TcpStream> =
        (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let closed = silent[0].read(&mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let mut last = silent.pop().unwrap();
    write!(last, "GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// As many as are served at once ask for much and take it a byte at a time: the next one is served.
#[test]
fn http_readers_that_are_slow_keep_nobody_waiting() {
    let address = serve_view(true, || {
        // More than all buffers on the way hold.
        let ephemerals = vec!["/".repeat(6 << 20)];
        View { ephemeral_list: vec![(1, ephemerals)], ..view("leader") }
    });
    let request = "GET /commands/dump HTTP/1.1\r\n\r\n";
    let slow: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            // Its answer has begun: it has a place.
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    let (head, _) = get(address, "HEAD /commands/ruok HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    drop(slow);
}

fn serve(commands: bool) -> SocketAddr {
    serve_view(commands, || view("leader"))
}

fn serve_view(commands: bool, view: fn() -> View) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let site = Site {
        config: Arc::new(config("leader")),
        environment: Arc::new(environment()),
        source: Box::new(move |_| Some(Box::new(view()))),
        command_url: commands.then(|| "/commands".to_owned()),
        https: None,
    };
    http::spawn("admin", listener, site).unwrap();
    address
}

fn get(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A request cut off by the server may end in a reset behind the answer.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn environment() -> Environment {
    Environment { lines: vec![("host.name", "zk3".to_owned()), ("os.name", "Linux".to_owned())] }
}

fn config(role: &str) -> Config {
    let mut text = "dataDir=/data\nclientPort=2181\ntickTime=2000\n".to_owned();
    text += match role {
        "strict" => "",
        _ => "4lw.commands.whitelist=*\n",
    };
    if role != "standalone" {
        text += "initLimit=10\nsyncLimit=5\nserver.1=zk1:2888:3888\nserver.2=zk2:2888:3888;2181\n\
                 server.3=zk3:2888:3888\nserver.4=[fd00::4]:2888:3888:observer\n";
    }
    let mut read = |_: &Path| Ok(b"3\n".to_vec());
    Config::parse(Path::new("zoo.cfg"), text.as_bytes(), &[], &mut read).unwrap().0
}

fn histogram(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

fn view(role: &str) -> View {
    let (role, serving) = match role {
        "leader" | "strict" => (Role::Leader, Serving::ReadWrite),
        "follower" => (Role::Follower, Serving::ReadWrite),
        "standalone" => (Role::Standalone, Serving::ReadWrite),
        "down" => (Role::Looking, Serving::No),
        "readonly" => (Role::Looking, Serving::ReadOnly),
        other => panic!("`{other}` is no role"),
    };
    let owner = matches!(role, Role::Leader | Role::Standalone);
    let session = 0x0300_001a_5e75_0000;
    let other = 0x0100_001a_5e31_0000;
    let expires_ms = owner.then_some(1_795_604_920_000);
    let connection = ConnectionView {
        peer: "[::ffff:127.0.0.1]:45012".parse().unwrap(),
        session,
        reading: true,
        queued: 0,
        received: 5,
        sent: 6,
        established_ms: 1_795_604_910_326,
        timeout_ms: 10_000,
        last_operation: "GETC",
        last_cxid: 4,
        last_zxid: 0x1_0000_0006,
        last_response_ms: 1_747_589,
        last_latency_ms: 1,
        min_latency_ms: 0,
        avg_latency_ms: 4,
        max_latency_ms: 8,
    };
    let asking = ConnectionView {
        peer: "[::1]:45058".parse().unwrap(),
        session: 0,
        reading: false,
        received: 1,
        sent: 0,
        ..connection.clone()
    };
    let member = |id: u8, synced: bool| MemberView {
        id,
        voter: id != 4,
        observer: id == 4,
        connected: true,
        match_index: if synced { 17 } else { 12 },
        synced,
        last_heard_ms: Some(40),
    };
    View {
        lists_cut: false,
        now_ms: 1_795_604_912_000,
        uptime_ms: 19_771,
        role,
        serving,
        zxid: 0x1_0000_0006,
        tree: TreeView {
            node_count: 9,
            ephemerals_count: 2,
            approximate_data_size: 195,
            memory_bytes: 2048,
        },
        sessions: SessionsView { count: 2, closed: 3, expired: 1, attached: 1, local: 0 },
        traffic: TrafficView {
            connections: 2,
            received: 9,
            sent: 8,
            bytes_received: 230,
            bytes_sent: 220,
            latency_us: histogram(&[1_000, 2_000, 9_600]),
            read_latency_us: histogram(&[300]),
            update_latency_us: histogram(&[6_000, 8_000]),
            response_size: ResponseSize { last: 25, min: 23, max: 88 },
            connections_accepted: 4,
            events_node_created: 2,
            ..TrafficView::default()
        },
        watches: WatchesView { total: 3, data_total: 2, data_connections: 1, data_paths: 2 },
        raft: RaftView {
            cluster_id: 0x00c0_ffee,
            term: 1,
            leader: (role != Role::Looking).then_some(3),
            commit_index: 17,
            applied_index: 17,
            last_index: 17,
            first_index: 1,
            elections: 1,
            leader_uptime_ms: 19_608,
            proposal_size: ResponseSize { last: 87, min: 48, max: 88 },
            proposals: 6,
            commits: 6,
            members: vec![member(1, true), member(2, false), member(3, true), member(4, true)],
            ..RaftView::default()
        },
        log: LogView {
            fsync_us: histogram(&[40, 700, 41_000]),
            batch_entries: histogram(&[1, 1, 4]),
            appended_bytes: 4096,
            segments: 1,
            last_snapshot: Some(SnapshotView {
                zxid: 0x1_0000_0002,
                index: 3,
                time_ms: 1_795_604_900_000,
                bytes: 512,
            }),
            load_ms: 69,
            ..LogView::default()
        },
        connection_list: vec![asking, connection],
        session_list: vec![
            SessionView { id: other, timeout_ms: 10_000, expires_ms },
            SessionView { id: session, timeout_ms: 10_000, expires_ms },
        ],
        ephemeral_list: vec![
            (other, vec!["/e1".to_owned()]),
            (session, vec!["/e2".to_owned(), "/e3".to_owned()]),
        ],
        watch_list: vec![(session, "/a".to_owned()), (session, "/a/b".to_owned())],
        quota_list: vec![
            QuotaView {
                namespace: "app".to_owned(),
                usage: QuotaUsage { count_limit: 10, bytes_limit: -1, count: 4, bytes: 99 },
                refused: 2,
            },
            QuotaView { namespace: "b".to_owned(), ..QuotaView::default() },
        ],
        directories: Some(DirectoriesView { data_bytes: 512, log_bytes: 67_109_477 }),
        process: Some(ProcessView {
            open_files: 46,
            max_files: 20_000,
            resident_bytes: 4_096_000,
            cpu_ms: 1500,
            start_ms: 1_795_604_892_229,
            threads: 4,
        }),
        extra: Vec::new(),
    }
}
