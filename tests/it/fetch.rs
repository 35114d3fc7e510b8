//! Downloads from a small server of our own: what a mirror may do to one, and what comes of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha512};
use zkprov::artifacts::fetch::cache::Cache;
use zkprov::artifacts::fetch::{self, Event, Expected, Fetched};
use zkprov::failure::Failure;
use zkprov::inventory::{self, Kafka, Sha512 as Written, Source};

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Good,
    /// Sends everything from the beginning whatever is asked for.
    IgnoresRange,
    /// Ends the connection after this many bytes of the body, then behaves.
    CutsOnce(usize),
    /// Ends every connection after this many bytes of the body.
    Cuts(usize),
    /// 200, and a page.
    Page,
    NotFound,
    /// A length, a type, but other bytes.
    OtherBytes,
    /// No length: the end of the connection is the end of the body.
    NoLength,
    /// A range that begins elsewhere.
    WrongRange,
    Redirect,
}

/// A server on a free loopback port; it knows what it was asked.
struct Server {
    url: String,
    sessions: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    fn new(manner: Manner, body: &[u8]) -> Self {
        let listener = (23000..23200)
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .expect("a free port");
        let url = format!("http://{}/kafka.tgz", listener.local_addr().expect("an address"));
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let (seen, body) = (Arc::clone(&sessions), body.to_vec());
        // The thread ends with the test's process; each connection serves one request.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = seen.lock().expect("the list").len();
                if let Ok(from) = request(&stream) {
                    seen.lock().expect("the list").push(from);
                    // A client that has seen enough hangs up: no error of the server's.
                    let _ = answer(stream, manner, number, from, &body);
                }
            }
        });
        Self { url, sessions }
    }

    fn source(&self) -> Source {
        Source::Url(self.url.clone())
    }

    /// The offsets that were asked for.
    fn sessions(&self) -> Vec<Option<u64>> {
        self.sessions.lock().expect("the list").clone()
    }
}

fn request(stream: &TcpStream) -> std::io::Result<Option<u64>> {
    let mut from = None;
    for line in BufReader::new(stream).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Ok(from)
}

fn answer(
    mut stream: TcpStream,
    manner: Manner,
    number: usize,
    from: Option<u64>,
    body: &[u8],
) -> std::io::Result<()> {
    let head =
        |status: &str, rest: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n{rest}\r\n");
    let length = |body: &[u8]| {
        format!("content-type: application/x-gzip\r\ncontent-length: {}\r\n", body.len())
    };
    match manner {
        Manner::NotFound => {
            stream.write_all(head("404 Not Found", "content-length: 0\r\n").as_bytes())
        }
        Manner::Page => {
            let page = "<html>Not here any more</html>";
            let rest = format!("content-type: text/html\r\ncontent-length: {}\r\n", page.len());
            stream.write_all((head("200 OK", &rest) + page).as_bytes())
        }
        Manner::OtherBytes => {
            stream.write_all(head("200 OK", &length(body)).as_bytes())?;
            stream.write_all(&vec![b'x'; body.len()])
        }
        Manner::NoLength => {
            stream.write_all(head("200 OK", "content-type: application/x-gzip\r\n").as_bytes())?;
            stream.write_all(body)
        }
        Manner::Redirect if number == 0 => stream.write_all(
            head("302 Found", "location: /elsewhere.tgz\r\ncontent-length: 0\r\n").as_bytes(),
        ),
        Manner::Good
        | Manner::Redirect
        | Manner::CutsOnce(_)
        | Manner::Cuts(_)
        | Manner::WrongRange
            if from.is_some() =>
        {
            let from = from.unwrap_or(0) as usize;
            let rest = &body[from.min(body.len())..];
            let first = if manner == Manner::WrongRange { from + 1 } else { from };
            let range =
                format!("content-range: bytes {first}-{}/{}\r\n", body.len() - 1, body.len());
            stream.write_all(head("206 Partial Content", &(range + &length(rest))).as_bytes())?;
            let rest = if let Manner::Cuts(after) = manner {
                &rest[..after.min(rest.len())]
            } else {
                rest
            };
            stream.write_all(rest)
        }
        Manner::CutsOnce(after) | Manner::Cuts(after) => {
            stream.write_all(head("200 OK", &length(body)).as_bytes())?;
            stream.write_all(&body[..after])
        }
        Manner::Good | Manner::IgnoresRange | Manner::WrongRange | Manner::Redirect => {
            stream.write_all(head("200 OK", &length(body)).as_bytes())?;
            stream.write_all(body)
        }
    }
}

/// One release, its digest, and a cache of its own.
struct Try {
    body: Vec<u8>,
    folder: PathBuf,
}

impl Try {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fetch-{test}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let body = (0..100_000_u32)
            .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes())
            .collect();
        Self { body, folder }
    }

    fn expected(&self) -> Expected {
        Expected { sha512: zkprov::digest::hex(&Sha512::digest(&self.body)), bytes: None }
    }

    fn kafka(sources: Vec<Source>) -> Kafka {
        let text = "ensemble: demo\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\n";
        let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
        Kafka { sources, ..reading.inventory.expect("an inventory").kafka }
    }

    fn fetch_as(
        &self,
        sources: Vec<Source>,
        expected: &Expected,
    ) -> (Result<Fetched, Failure>, Vec<Event>) {
        let mut events = Vec::new();
        let kafka = Self::kafka(sources);
        let cache = Cache::new(self.folder.join("cache"));
        let result = run(fetch::fetch(&kafka, expected, &cache, &mut |event| {
            if !matches!(event, Event::Progress { .. }) {
                events.push(event);
            }
        }));
        (result, events)
    }

    fn fetch(&self, sources: Vec<Source>) -> (Result<Fetched, Failure>, Vec<Event>) {
        self.fetch_as(sources, &self.expected())
    }

    fn good(&self, fetched: Result<Fetched, Failure>) -> Fetched {
        let fetched = fetched.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(std::fs::read(&fetched.path).expect("the file") == self.body, "other bytes");
        assert_eq!(fetched.bytes, self.body.len() as u64);
        fetched
    }

    fn slot(&self) -> PathBuf {
        self.folder.join("cache/releases").join(self.expected().sha512)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_release_is_loaded_once() {
    let one = Try::new("once");
    let server = Server::new(Manner::Good, &one.body);
    let fetched = one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(fetched.source.as_deref(), Some(server.url.as_str()));
    let again = one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(again.source, None);
    assert_eq!(server.sessions(), [None]);
}

#[test]
fn a_file_is_a_source_and_is_verified_too() {
    let one = Try::new("file");
    let path = one.folder.join("kafka.tgz");
    std::fs::write(&path, &one.body).expect("a file");
    one.good(one.fetch(vec![Source::File(one.folder.join("missing.tgz")), Source::File(path)]).0);
}

#[test]
fn what_was_damaged_in_the_cache_is_loaded_anew() {
    let one = Try::new("damaged");
    let server = Server::new(Manner::Good, &one.body);
    let fetched = one.good(one.fetch(vec![server.source()]).0);
    std::fs::write(&fetched.path, &one.body[1..]).expect("damage");
    one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(server.sessions(), [None, None]);
}

#[test]
fn a_wrong_digest_is_deleted_and_refused_with_both() {
    let one = Try::new("digest");
    let server = Server::new(Manner::OtherBytes, &one.body);
    let (result, _) = one.fetch(vec![server.source()]);
    let failure = result.expect_err("other bytes");
    let got = zkprov::digest::hex(&Sha512::digest(vec![b'x'; one.body.len()]));
    for part in [one.expected().sha512, got, server.url.clone()] {
        assert!(failure.cause.contains(&part), "{failure}");
    }
    let mut left: Vec<_> = std::fs::read_dir(one.slot())
        .expect("the slot")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["lock"]);
}

#[test]
fn the_next_source_is_asked() {
    let one = Try::new("next");
    let closed = Source::Url("http://127.0.0.1:9/kafka.tgz".to_owned());
    let (gone, page) = (Server::new(Manner::NotFound, &[]), Server::new(Manner::Page, &[]));
    let (other, good) =
        (Server::new(Manner::OtherBytes, &one.body), Server::new(Manner::Good, &one.body));
    let sources = vec![closed, gone.source(), page.source(), other.source(), good.source()];
    let (result, events) = one.fetch(sources);
    one.good(result);
    let why: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Useless { why, .. } => why.lines().next().map(ToOwned::to_owned),
            _ => None,
        })
        .collect();
    assert_eq!(why.len(), 4, "{why:?}");
    assert!(why[0].contains("refused"), "{why:?}");
    assert_eq!(why[1], "the server says 404 Not Found");
    assert_eq!(why[2], "the server answers with a page (text/html)");
    assert_eq!(why[3], "wrong SHA-512, deleted");
}

#[test]
fn a_cut_transfer_is_resumed_where_it_was_cut() {
    let one = Try::new("cut");
    let server = Server::new(Manner::CutsOnce(150_000), &one.body);
    one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(server.sessions(), [None, Some(150_000)]);
}

#[test]
fn a_run_goes_on_where_the_last_one_died_on_any_mirror() {
    let one = Try::new("died");
    std::fs::create_dir_all(one.slot()).expect("the slot");
    std::fs::write(one.slot().join("partial"), &one.body[..123_456]).expect("what is left");
    let server = Server::new(Manner::Good, &one.body);
    let (result, events) = one.fetch(vec![server.source()]);
    one.good(result);
    assert_eq!(server.sessions(), [Some(123_456)]);
    assert!(
        events.contains(&Event::Begins { at: 123_456, total: Some(one.body.len() as u64) }),
        "{events:?}"
    );
}

#[test]
fn what_was_whole_already_is_not_asked_for() {
    let one = Try::new("whole");
    std::fs::create_dir_all(one.slot()).expect("the slot");
    std::fs::write(one.slot().join("partial"), &one.body).expect("what is left");
    let server = Server::new(Manner::Good, &one.body);
    one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(server.sessions(), []);
}

#[test]
fn what_is_left_of_something_else_is_thrown_away() {
    let one = Try::new("else");
    std::fs::create_dir_all(one.slot()).expect("the slot");
    std::fs::write(one.slot().join("partial"), b"something else").expect("what is left");
    let server = Server::new(Manner::Good, &one.body);
    one.good(one.fetch(vec![server.source()]).0);
    assert_eq!(server.sessions(), [Some(14), None]);
}

#[test]
fn a_server_may_ignore_ranges_or_get_them_wrong() {
    for (name, manner, sessions) in [
        ("ignores", Manner::IgnoresRange, vec![Some(1000)]),
        ("wrong-range", Manner::WrongRange, vec![Some(1000), None]),
    ] {
        let one = Try::new(name);
        std::fs::create_dir_all(one.slot()).expect("the slot");
        std::fs::write(one.slot().join("partial"), &one.body[..1000]).expect("what is left");
        let server = Server::new(manner, &one.body);
        one.good(one.fetch(vec![server.source()]).0);
        assert_eq!(server.sessions(), sessions, "{name}");
    }
}

#[test]
fn a_server_that_always_cuts_is_given_up() {
    let one = Try::new("cuts");
    let server = Server::new(Manner::Cuts(100_000), &one.body);
    let failure = one.fetch(vec![server.source()]).0.expect_err("never whole");
    assert!(failure.cause.contains("cut after 300000 bytes"), "{failure}");
    assert_eq!(server.sessions(), [None, Some(100_000), Some(200_000)]);
}

#[test]
fn a_short_answer_without_a_length_does_not_pass() {
    let one = Try::new("short");
    let short = Server::new(Manner::NoLength, &one.body[..1000]);
    let whole = Server::new(Manner::NoLength, &one.body);
    let (result, events) = one.fetch(vec![short.source(), whole.source()]);
    one.good(result);
    assert!(
        events.iter().any(
            |event| matches!(event, Event::Useless { why, .. } if why.contains("(1000 bytes)"))
        )
    );
}

#[test]
fn redirects_are_followed() {
    let one = Try::new("redirect");
    let server = Server::new(Manner::Redirect, &one.body);
    one.good(one.fetch(vec![server.source()]).0);
}

#[test]
fn a_length_that_cannot_be_right_is_refused_before_the_body() {
    let one = Try::new("length");
    let server = Server::new(Manner::Good, &one.body);
    let expected = Expected { bytes: Some(105_053_134), ..one.expected() };
    let failure = one.fetch_as(vec![server.source()], &expected).0.expect_err("another length");
    assert!(failure.cause.contains("400000 bytes, the release has 105053134"), "{failure}");
}

#[test]
fn the_digest_comes_from_a_file_a_server_or_the_table() {
    let one = Try::new("expected");
    let digest = one.expected().sha512;
    let line = format!("{digest}  kafka_2.13-3.3.1.tgz\n");
    let path = one.folder.join("sums");
    std::fs::write(&path, &line).expect("a checksum file");
    let server = Server::new(Manner::NoLength, line.as_bytes());
    let page = Server::new(Manner::Page, &[]);
    let ask = |sha512| run(fetch::expected(&Kafka { sha512, ..Try::kafka(Vec::new()) }));
    let of = |source| ask(Some(Written::File(source)));
    assert_eq!(of(Source::File(path)).map(|expected| expected.sha512), Ok(digest.clone()));
    assert_eq!(of(server.source()).map(|expected| expected.sha512), Ok(digest));
    assert!(of(page.source()).is_err_and(|failure| failure.cause.contains("a page")));
    assert!(of(Source::File(one.folder.join("none"))).is_err());
    assert_eq!(ask(None).map(|expected| expected.bytes), Ok(Some(105_053_134)));
}

#[test]
fn the_server_of_these_tests_serves_ranges() {
    let server = Server::new(Manner::Good, b"0123456789");
    let address =
        server.url.trim_start_matches("http://").trim_end_matches("/kafka.tgz").to_owned();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nRange: bytes=7-\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    assert!(text.starts_with("HTTP/1.1 206 ") && text.ends_with("\r\n\r\n789"), "{text}");
}
