//! The session: established, kept alive, carried from server to server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::Link;
use super::watches::{Intent, Watches};
use super::{Error, Options, Servers};
use crate::wire::frame;
use crate::wire::handshake::{ConnectRequest, ConnectResponse, PASSWORD_BYTES};
use crate::wire::jute::Reader;
use crate::wire::opcode::OpCode;
use crate::wire::reply::{Reply, ReplyHeader, WatcherEvent};
use crate::wire::request::{Auth, Request, RequestHeader, xid};

/// Requests are collected up to here before they are sent by themselves.
const SEND_BYTES: usize = 64 << 10;
/// Between two rounds over all servers when none serves.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// What it takes to come back to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub password: [u8; PASSWORD_BYTES],
    pub timeout_ms: i32,
}

/// A watch has fired. The path is relative to the chroot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// [`crate::wire::reply::EventKind`] as a number.
    pub kind: i32,
    pub path: String,
    /// Requests answered on this connection before the event came.
    pub replies_before: u64,
    /// Sent by 3.9 and later; −1 before.
    pub zxid: i64,
}

/// The answer to one request. The paths in it are the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub xid: i32,
    pub zxid: i64,
    pub result: Result<Reply, Error>,
}

#[derive(Debug)]
struct Pending {
    xid: i32,
    op: OpCode,
    intent: Option<Intent>,
}

/// A client of one session.
#[derive(Debug)]
pub struct Client {
    servers: Servers,
    options: Options,
    session: Session,
    link: Option<Link>,
    /// Index of the server to try next.
    next_server: usize,
    /// Where `link` leads.
    server: usize,
    read_only: bool,
    last_zxid: i64,
    last_xid: i32,
    unsent: Vec<u8>,
    pending: VecDeque<Pending>,
    ready: VecDeque<Response>,
    /// Requests that were in flight when a connection broke and are not collected yet.
    lost: usize,
    lost_why: String,
    events: VecDeque<Event>,
    credentials: Vec<(String, Vec<u8>)>,
    watches: Watches,
    replies: u64,
    /// Answers to auth and setWatches still owed: their places in the order differ by server.
    auths_owed: u32,
    set_watches_owed: u32,
    heard_at: Instant,
    sent_at: Instant,
    expired: bool,
}

impl Client {
    /// Starts a session with the default options.
    pub fn connect(servers: &str) -> Result<Self, Error> {
        Self::open(Servers::parse(servers)?, Options::default(), None)
    }

    /// Starts a session, or comes back to `session`.
    pub fn open(
        servers: Servers,
        options: Options,
        session: Option<Session>,
    ) -> Result<Self, Error> {
        let fresh = Session { id: 0, password: [0; 16], timeout_ms: options.session_timeout_ms };
        let now = Instant::now();
        let mut client = Self {
            servers,
            options,
            session: session.unwrap_or(fresh),
            link: None,
            next_server: 0,
            server: 0,
            read_only: false,
            last_zxid: 0,
            last_xid: 0,
            unsent: Vec::new(),
            pending: VecDeque::new(),
            ready: VecDeque::new(),
            lost: 0,
            lost_why: String::new(),
            events: VecDeque::new(),
            credentials: Vec::new(),
            watches: Watches::default(),
            replies: 0,
            auths_owed: 0,
            set_watches_owed: 0,
            heard_at: now,
            sent_at: now,
            expired: false,
        };
        client.reconnect()?;
        Ok(client)
    }

    pub fn session(&self) -> Session {
        self.session
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Runs `work` with the server's own paths, for what lives outside of any chroot: the
    /// ensemble's configuration and quotas.
    pub fn outside_chroot<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let chroot = self.servers.replace_chroot(String::new());
        let outcome = work(self);
        self.servers.replace_chroot(chroot);
        outcome
    }

    /// The server in use, or the last one that was.
    pub fn server(&self) -> &str {
        &self.servers.addresses()[self.server]
    }

    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The highest zxid any reply has carried.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Requests submitted and not yet collected.
    pub fn outstanding(&self) -> usize {
        self.pending.len() + self.ready.len() + self.lost
    }

    /// Queues a request. Its paths are the server's, chroot included. Returns its xid. Refused
    /// while requests lost with a connection are not collected: answers keep their order.
    pub fn submit(&mut self, request: &Request<'_>) -> Result<i32, Error> {
        if self.lost > 0 {
            return Err(Error::ConnectionLost(self.lost_why.clone()));
        }
        self.ensure_connected()?;
        let xid = self.put_next(request);
        if self.unsent.len() >= SEND_BYTES {
            self.flush()?;
        }
        Ok(xid)
    }

    /// The answer to the oldest request not yet collected. An error is the connection's, once for
    /// each request in flight on it; what the server answered stands in the response.
    pub fn collect(&mut self) -> Result<Response, Error> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(response);
            }
            if self.lost > 0 {
                self.lost -= 1;
                return Err(Error::ConnectionLost(self.lost_why.clone()));
            }
            if self.pending.is_empty() {
                return Err(Error::Protocol("nothing was submitted".to_owned()));
            }
            if let Err(error) = self.flush().and_then(|()| self.pump(None))
                && self.ready.is_empty()
            {
                self.lost = self.lost.saturating_sub(1);
                return Err(error);
            }
        }
    }

    /// Submits, then collects this answer: call it with nothing outstanding.
    pub fn call(&mut self, request: &Request<'_>) -> Result<Reply, Error> {
        self.lost = 0;
        self.submit(request)?;
        self.collect()?.result
    }

    /// The next event already received, without looking at the socket.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Waits for an event, answering for the session meanwhile.
    pub fn wait_event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            self.ensure_connected()?;
            self.flush()?;
            self.pump(Some(deadline))?;
        }
    }

    /// Keeps the session alive: call it at least a few times per session timeout when idle.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), Error> {
        self.ensure_connected()?;
        self.flush()?;
        self.pump(Some(Instant::now() + timeout))
    }

    /// Sends credentials now and after each reconnect.
    pub fn add_auth(&mut self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        self.ensure_connected()?;
        self.put_auth(scheme, auth);
        self.settle(scheme)?;
        self.credentials.push((scheme.to_owned(), auth.to_vec()));
        Ok(())
    }

    /// Ends the session; its ephemerals go with it.
    pub fn close(mut self) -> Result<(), Error> {
        if self.link.is_none() {
            return Ok(());
        }
        self.lost = 0;
        self.submit(&Request::CloseSession)?;
        loop {
            let response = self.collect()?;
            if response.xid == self.last_xid {
                return response.result.map(drop);
            }
        }
    }

    /// Drops the connection and keeps the session, as a crash of this client would.
    pub fn abandon(self) -> Session {
        self.session
    }

    /// Breaks the connection; the next call reconnects, to the next server of the list.
    pub fn disconnect(&mut self) {
        self.lose("closed by the client");
    }

    fn put_request(&mut self, xid: i32, request: &Request<'_>) {
        let start = frame::begin(&mut self.unsent);
        RequestHeader { xid, op: request.op().as_i32() }.encode(&mut self.unsent);
        request.encode(&mut self.unsent);
        frame::end(&mut self.unsent, start);
    }

    /// Queues a request under the next xid.
    fn put_next(&mut self, request: &Request<'_>) -> i32 {
        self.last_xid = if self.last_xid == i32::MAX { 1 } else { self.last_xid + 1 };
        let (xid, op) = (self.last_xid, request.op());
        self.pending.push_back(Pending { xid, op, intent: Intent::of(request) });
        self.put_request(xid, request);
        xid
    }

    /// One request while a connection is set up, and nothing else is in flight.
    pub(super) fn exchange(&mut self, request: &Request<'_>) -> Result<Reply, Error> {
        let collected = self.ready.len();
        self.put_next(request);
        while self.ready.len() == collected {
            if let Err(error) = self.flush().and_then(|()| self.pump(None)) {
                // Its caller has learnt of it here: it is not lost a second time.
                if self.pending.pop_back().is_none() {
                    self.lost = self.lost.saturating_sub(1);
                }
                return Err(error);
            }
        }
        self.ready.pop_back().map_or(Err(Error::SessionExpired), |response| response.result)
    }

    fn put_auth(&mut self, scheme: &str, auth: &[u8]) {
        self.put_request(xid::AUTH, &Request::Auth(Auth { kind: 0, scheme, auth: Some(auth) }));
        self.auths_owed += 1;
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let link = self.link.as_mut().ok_or_else(|| Error::ConnectionLost("closed".to_owned()))?;
        match link.send(&self.unsent) {
            Ok(()) => {
                self.unsent.clear();
                self.sent_at = Instant::now();
                Ok(())
            }
            Err(error) => Err(self.lose(&error.to_string())),
        }
    }

    fn ensure_connected(&mut self) -> Result<(), Error> {
        if self.link.is_some() { Ok(()) } else { self.reconnect() }
    }

    /// Forgets the connection and everything in flight on it.
    fn lose(&mut self, why: &str) -> Error {
        self.link = None;
        self.unsent.clear();
        self.lost += self.pending.len();
        self.pending.clear();
        why.clone_into(&mut self.lost_why);
        self.auths_owed = 0;
        self.set_watches_owed = 0;
        self.next_server = (self.server + 1) % self.servers.addresses().len();
        Error::ConnectionLost(format!("{}: {why}", self.server()))
    }

    /// Goes round the servers until one takes the session.
    fn reconnect(&mut self) -> Result<(), Error> {
        if self.expired {
            return Err(Error::SessionExpired);
        }
        let count = self.servers.addresses().len();
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut tries = 0;
        loop {
            self.server = self.next_server;
            self.next_server = (self.next_server + 1) % count;
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = (left / count as u32)
                .clamp(Duration::from_millis(100), left.max(Duration::from_millis(100)));
            let last = match self.handshake(timeout) {
                Ok(()) => {
                    let resumed = self.resume();
                    if let (Err(error), true) = (&resumed, self.link.is_some()) {
                        // Nobody goes on without the login, credentials and watches it asked for.
                        self.lose(&error.to_string());
                    }
                    return resumed;
                }
                Err(Error::SessionExpired) => {
                    self.expired = true;
                    return Err(Error::SessionExpired);
                }
                Err(error) => error,
            };
            tries += 1;
            if Instant::now() >= deadline {
                let last = format!("{}: {last}", self.server());
                return Err(Error::Unreachable { servers: self.servers.to_string(), last });
            }
            if tries % count == 0 {
                std::thread::sleep(ROUND_PAUSE);
            }
        }
    }

    fn handshake(&mut self, timeout: Duration) -> Result<(), Error> {
        let broken = |error: std::io::Error| Error::Protocol(error.to_string());
        let mut link = Link::open(self.server(), timeout, self.options.tls.as_deref())
            .map_err(|error| Error::ConnectionLost(error.to_string()))?;
        let mut out = Vec::new();
        let start = frame::begin(&mut out);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.options.session_timeout_ms,
            session: self.session.id,
            password: Some(&self.session.password),
            read_only: self.options.read_only_byte.then_some(self.options.read_only),
        }
        .encode(&mut out);
        frame::end(&mut out, start);
        link.send(&out).map_err(broken)?;

        let deadline = Instant::now() + timeout;
        let response = loop {
            if let Some(payload) = link.take_frame().map_err(broken)? {
                break ConnectResponse::decode(payload)
                    .map_err(|cause| Error::Protocol(format!("handshake: {cause}")))?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::ConnectionLost("no answer to the handshake".to_owned()));
            }
            link.receive(left).map_err(|error| Error::ConnectionLost(error.to_string()))?;
        };
        if response.read_only.is_some() != self.options.read_only_byte {
            return Err(Error::Protocol("handshake reply has not the form of the request".into()));
        }
        if response.session == 0 || response.timeout_ms <= 0 {
            return Err(Error::SessionExpired);
        }
        self.session = Session {
            id: response.session,
            password: response.password,
            timeout_ms: response.timeout_ms,
        };
        self.read_only = response.read_only.unwrap_or(false);
        self.link = Some(link);
        self.heard_at = Instant::now();
        self.sent_at = self.heard_at;
        Ok(())
    }

    /// After a handshake: the login, credentials, then watches, in this order as all clients do.
    fn resume(&mut self) -> Result<(), Error> {
        if let Some(login) = self.options.login.clone() {
            self.log_in(&login)?;
        }
        for (scheme, auth) in std::mem::take(&mut self.credentials) {
            self.put_auth(&scheme, &auth);
            let outcome = self.settle(&scheme);
            self.credentials.push((scheme, auth));
            outcome?;
        }
        let watches = std::mem::take(&mut self.watches);
        let sent = watches.for_each_batch(self.last_zxid, |request| {
            self.put_request(xid::SET_WATCHES, request);
            self.set_watches_owed += 1;
            Ok(())
        });
        self.watches = watches;
        sent.and_then(|()| self.settle("setWatches"))
    }

    /// Waits until auth and setWatches are answered.
    fn settle(&mut self, scheme: &str) -> Result<(), Error> {
        self.flush()?;
        while self.auths_owed + self.set_watches_owed > 0 {
            self.pump(None).map_err(|error| match error {
                Error::AuthFailed { .. } => Error::AuthFailed { scheme: scheme.to_owned() },
                error => error,
            })?;
        }
        Ok(())
    }

    /// Takes what has been received; if that is nothing, receives once, pinging when it is time.
    fn pump(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        if self.take_frames()? {
            return Ok(());
        }
        let timeout = Duration::from_millis(self.session.timeout_ms.max(1) as u64);
        let now = Instant::now();
        if now.duration_since(self.heard_at) >= timeout * 2 / 3 {
            return Err(self.lose("server has gone silent"));
        }
        let ping_at = self.sent_at + timeout / 3;
        if now >= ping_at {
            self.put_request(xid::PING, &Request::Ping);
            self.flush()?;
        }
        let until = deadline.unwrap_or(now + timeout).min(self.sent_at + timeout / 3);
        let Some(link) = self.link.as_mut() else {
            return Err(Error::ConnectionLost("closed".to_owned()));
        };
        match link.receive(until.saturating_duration_since(now)) {
            Ok(true) => {
                self.heard_at = Instant::now();
                self.take_frames().map(drop)
            }
            Ok(false) => Ok(()),
            Err(error) => Err(self.lose(&error.to_string())),
        }
    }

    fn take_frames(&mut self) -> Result<bool, Error> {
        let Some(mut link) = self.link.take() else { return Ok(false) };
        let mut any = false;
        let outcome = loop {
            match link.take_frame() {
                Ok(None) => break Ok(any),
                Ok(Some(payload)) => {
                    any = true;
                    if let Err(error) = self.take_payload(payload) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(Error::Protocol(error.to_string())),
            }
        };
        if let Err(error) = &outcome {
            self.lose(&error.to_string());
        } else {
            self.link = Some(link);
        }
        outcome
    }

    fn take_payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(payload);
        let header = ReplyHeader::decode(&mut reader)
            .map_err(|cause| Error::Protocol(format!("reply header: {cause}")))?;
        match header.xid {
            xid::PING => return Ok(()),
            xid::NOTIFICATION => {
                let event = WatcherEvent::decode(&mut reader)
                    .map_err(|cause| Error::Protocol(format!("notification: {cause}")))?;
                self.watches.fired(event.kind, event.path);
                self.events.push_back(Event {
                    kind: event.kind,
                    path: self.servers.local_path(event.path).to_owned(),
                    replies_before: self.replies,
                    zxid: header.zxid,
                });
                return Ok(());
            }
            xid::AUTH if header.err == 0 => {
                self.auths_owed = self.auths_owed.saturating_sub(1);
                return Ok(());
            }
            xid::AUTH => return Err(Error::AuthFailed { scheme: String::new() }),
            _ => {}
        }
        if header.zxid > 0 {
            if header.zxid < self.last_zxid {
                return Err(Error::Protocol(format!(
                    "zxid went back from {:#x} to {:#x}",
                    self.last_zxid, header.zxid
                )));
            }
            self.last_zxid = header.zxid;
        }
        if header.xid == xid::SET_WATCHES {
            self.set_watches_owed = self.set_watches_owed.saturating_sub(1);
            return Ok(());
        }
        self.take_reply(header, &mut reader)
    }

    fn take_reply(&mut self, header: ReplyHeader, reader: &mut Reader<'_>) -> Result<(), Error> {
        let Some(pending) = self.pending.pop_front() else {
            return Err(Error::Protocol(format!("reply to nothing, xid {}", header.xid)));
        };
        if pending.xid != header.xid {
            return Err(Error::Protocol(format!(
                "reply out of order: xid {} where {} was due",
                header.xid, pending.xid
            )));
        }
        if let Some(intent) = pending.intent {
            self.watches.registered(intent, header.err);
        }
        let result = if header.err == 0 {
            Ok(Reply::decode(pending.op, reader)
                .map_err(|cause| Error::undecodable(pending.op, cause))?)
        } else {
            Err(Error::from_code(header.err))
        };
        self.replies += 1;
        self.ready.push_back(Response { xid: header.xid, zxid: header.zxid, result });
        Ok(())
    }
}
