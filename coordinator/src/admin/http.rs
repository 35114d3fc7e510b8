//! The HTTP side of the admin server: `GET` only, nothing here changes anything.
//!
//! Each request is one short-lived thread, a handful at a time, with limits on bytes and time. Where
//! all places are taken the oldest connection is closed for the newest: whoever holds connections
//! open keeps a few threads busy for seconds, and keeps nobody else from being served.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::view::{Parts, View};
use super::{json, metrics};
use crate::config::Config;
use crate::hasty::Hasty;
use crate::tls::{Session, Tunnel};

/// Connections served at once.
const CONNECTIONS_MAX: usize = 16;
/// A request with all its headers.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// From accept to the whole request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// From the whole request to the whole answer, and what longer answers may take beside it.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const BYTES_A_SECOND: usize = 256 << 10;
/// Waits after a failed accept: with no file descriptor left it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where views come from; `None` when the server does not answer in time.
pub type Source = Box<dyn Fn(Parts) -> Option<Box<View>> + Send + Sync>;

/// What is served on one port.
pub struct Site {
    pub config: Arc<Config>,
    pub environment: Arc<Environment>,
    pub source: Source,
    /// The path under which the commands stand, without a slash at its end; `None` serves
    /// `/metrics` alone.
    pub command_url: Option<String>,
    /// `None`: in the clear.
    pub https: Option<Https>,
}

/// How handshakes of TLS begin on a port.
pub struct Https {
    pub accept: Box<dyn Fn() -> Result<Session, String> + Send + Sync>,
    /// The first byte decides whether TLS is spoken.
    pub plain_too: bool,
}

/// The first byte of a TLS handshake; HTTP begins with a letter.
const HANDSHAKE_RECORD: u8 = 0x16;
/// As Jetty's `SecureRequestCustomizer` has it in `JettyAdminServer`.
const STRICT: &str = "Strict-Transport-Security: max-age=86400; includeSubDomains\r\n";

/// Serves the site from a thread of its own for as long as the process lives.
pub fn spawn(name: &str, listener: TcpListener, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    thread::Builder::new().name(name.to_owned()).spawn(move || accept(&listener, &site))?;
    Ok(())
}

fn accept(listener: &TcpListener, site: &Arc<Site>) {
    let open = Arc::new(Open::default());
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let stream = Arc::new(stream);
        let place = open.place(number, &stream);
        let site = Arc::clone(site);
        // Where no thread can be had, the closure is dropped, and with it connection and place.
        let _ = thread::Builder::new().name("http".to_owned()).spawn(move || {
            let _ = handle(&stream, &site);
            drop(place);
        });
    }
}

/// The connections that are served, oldest first.
#[derive(Default)]
struct Open {
    streams: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    /// One of them has ended.
    ended: Condvar,
}

impl Open {
    /// A place for one more. As long as there is none, the oldest connection is shut down: its thread
    /// notices when it reads or writes next.
    fn place(self: &Arc<Self>, number: u64, stream: &Arc<TcpStream>) -> Place {
        let mut streams = self.lock();
        while streams.len() >= CONNECTIONS_MAX {
            if let Some(oldest) = streams.values().next() {
                let _ = oldest.shutdown(Shutdown::Both);
            }
            streams = self.ended.wait(streams).unwrap_or_else(PoisonError::into_inner);
        }
        streams.insert(number, Arc::clone(stream));
        Place { open: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<TcpStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections allowed; given back when dropped.
struct Place {
    open: Arc<Open>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
        self.open.ended.notify_one();
    }
}

fn handle(stream: &TcpStream, site: &Site) -> io::Result<()> {
    let mut hasty = Hasty { stream, until: Instant::now() + REQUEST_TIME };
    let mut tunnel = match &site.https {
        Some(https) => secured(&mut hasty, https)?,
        None => Tunnel::default(),
    };
    let mut talk = tunnel.over(&mut hasty);
    let response = match read_request(&mut talk)? {
        Some(head) => respond(&head, site),
        None => Response::plain("431 Request Header Fields Too Large", "request too long\n"),
    };
    let strict = if talk.tls().is_some() { STRICT } else { "" };
    hasty.until = Instant::now() + response.time();
    response.write(&mut tunnel.over(&mut hasty), strict)?;
    tunnel.finish(&mut hasty)
}

fn secured(hasty: &mut Hasty<'_>, https: &Https) -> io::Result<Tunnel> {
    if https.plain_too && hasty.peek()? != Some(HANDSHAKE_RECORD) {
        return Ok(Tunnel::default());
    }
    let session = (https.accept)().map_err(io::Error::other)?;
    Tunnel::shake(session, hasty)
}

/// The head of the request; `None` when it is too long. Errors close without an answer.
fn read_request(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..count]);
        if head.windows(4).any(|window| window == b"\r\n\r\n") {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if head.len() > REQUEST_BYTES_MAX {
            return Ok(None);
        }
    }
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    body: String,
    /// Answer to `HEAD`: all but the body.
    head_only: bool,
}

impl Response {
    fn new(content_type: &'static str, body: String) -> Response {
        Response { status: "200 OK", content_type, body, head_only: false }
    }

    fn plain(status: &'static str, body: &str) -> Response {
        Response { status, content_type: "text/plain", body: body.to_owned(), head_only: false }
    }

    /// Whoever reads it at a fair rate gets all of it in this time.
    fn time(&self) -> Duration {
        ANSWER_TIME + Duration::from_secs((self.body.len() / BYTES_A_SECOND) as u64)
    }

    fn write(&self, stream: &mut impl Write, strict: &str) -> io::Result<()> {
        let Response { status, content_type, body, .. } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}{strict}\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        if !self.head_only {
            stream.write_all(body.as_bytes())?;
        }
        stream.flush()
    }
}

fn respond(head: &str, site: &Site) -> Response {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Response::plain("400 Bad Request", "not an HTTP request\n");
    };
    if !version.starts_with("HTTP/1.") {
        return Response::plain("400 Bad Request", "not an HTTP/1 request\n");
    }
    if method != "GET" && method != "HEAD" {
        return Response::plain("405 Method Not Allowed", "this server only reads\n");
    }
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut response = route(path, site);
    response.head_only = method == "HEAD";
    response
}

fn route(path: &str, site: &Site) -> Response {
    if path == "/metrics" {
        return match (site.source)(Parts { process: true, quotas: true, ..Parts::default() }) {
            Some(view) => {
                Response::new("text/plain; version=0.0.4; charset=utf-8", metrics::render(&view))
            }
            None => Response::plain("503 Service Unavailable", "the server does not answer\n"),
        };
    }
    let below = site.command_url.as_deref().and_then(|url| path.strip_prefix(url));
    match below {
        Some("" | "/") => Response::new("text/html;charset=utf-8", links(site)),
        Some(rest) if rest.starts_with('/') => command(rest.trim_matches('/'), site),
        _ => Response::plain("404 Not Found", "no such page\n"),
    }
}

/// ZooKeeper answers 200 whatever a command says; what is wrong stands in `error`.
fn command(name: &str, site: &Site) -> Response {
    let body = match json::find(name) {
        None => json::failure(name, &format!("Unknown command: {name}")),
        Some(command) => match (site.source)(command.parts) {
            Some(view) => json::answer(command, &view, &site.config, &site.environment),
            None => json::failure(command.name, "the server does not answer"),
        },
    };
    Response::new("application/json", body)
}

fn links(site: &Site) -> String {
    let url = site.command_url.as_deref().unwrap_or_default();
    let mut page = String::new();
    for command in json::COMMANDS {
        let name = command.name;
        let _ = writeln!(page, "<a href=\"{url}/{name}\">{name}</a>\n<br/>");
    }
    page
}
