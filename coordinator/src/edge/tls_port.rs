//! The ports that speak TLS, of clients or of members. A thread of its own makes the handshakes, so
//! that neither their arithmetic nor those who never finish one delay anybody; the server's thread
//! takes connections over when the handshake is done.
//!
//! Where clients or members without TLS may come, too, the first byte decides: 0x16 begins a
//! handshake, anything else goes on without TLS. Handshakes in progress are bounded in number and
//! time; when there are too many, one of the address that has the most gives way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::addresses::ListedAddresses;
use super::handshake::{Handshake, Origin, Step};
use super::lobby::Lobby;
use super::logging::Logger;
use super::stores::{LOOK_EVERY, Stores};
use crate::tls::Session;

/// Handshakes of clients in progress at once.
const CLIENTS_MAX: usize = 2000;
/// A client's handshake takes no longer, the first byte included.
const CLIENT_TIME: Duration = Duration::from_secs(10);
/// Accepted at once: whoever connects without end must not keep the thread from its handshakes.
const ACCEPTS_AT_ONCE: usize = 64;
const READ_BYTES: usize = 16 << 10;
/// Says that there are orders.
const ORDERS: Token = Token(0);
/// Listeners are numbered from here.
const PORTS: usize = 1;
/// Connections are numbered from here.
const FIRST: usize = 16;

/// A connection that is ready for the server's thread.
pub(super) struct Arrival {
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub tls: Option<Session>,
    /// What the other side has said already, decrypted.
    pub early: Vec<u8>,
}

/// What the thread tells the server's thread.
pub(super) enum News {
    Accepted(Arrival),
    /// What became of the connection that was handed over under this number.
    Dialled(u64, Result<Arrival, String>),
}

/// What the thread is asked for.
enum Order {
    /// Another listener for the port at this place.
    Listen(usize, TcpListener),
    /// TLS on a connection that this server has made.
    Dial { number: u64, stream: TcpStream, address: SocketAddr, host: String },
}

/// A listener, and whether those without TLS may come to it.
pub(super) struct Port {
    /// `None`: nowhere so far.
    pub listener: Option<TcpListener>,
    pub plain_too: bool,
}

/// Who gives way when there are too many: whoever opens many takes places from itself.
pub(super) struct Crowd {
    lobby: Lobby,
    /// Members' addresses, where members come.
    listed: Option<ListedAddresses>,
}

impl Crowd {
    /// All clients may come from one address.
    pub(super) fn of_clients() -> Crowd {
        Crowd { lobby: Lobby::new(CLIENTS_MAX, CLIENTS_MAX, CLIENT_TIME), listed: None }
    }

    pub(super) fn of_members(listed: ListedAddresses) -> Crowd {
        Crowd { lobby: Lobby::default(), listed: Some(listed) }
    }
}

struct Handshakes {
    /// For the log: which port it is about.
    what: &'static str,
    stores: Stores,
    reload: Arc<AtomicBool>,
    poll: Poll,
    ports: Vec<Port>,
    /// Places of ports where more may wait to be accepted.
    more: BTreeSet<usize>,
    crowd: Crowd,
    pending: BTreeMap<usize, Handshake>,
    next: usize,
    buffer: Vec<u8>,
    orders: Receiver<Order>,
    news: Sender<News>,
    waker: Arc<Waker>,
    logger: Logger,
    /// Since the last line about them.
    failed: u64,
    last_failure: String,
}

/// The ways from and to the thread of handshakes.
pub(super) struct TlsPorts {
    /// The waker is woken for each.
    pub news: Receiver<News>,
    orders: Sender<Order>,
    order_waker: Waker,
    /// Set it to have the stores read again.
    pub reload: Arc<AtomicBool>,
}

impl TlsPorts {
    /// Listens there from now on instead of at the port that was at this place.
    pub(super) fn listen(&self, place: usize, listener: TcpListener) {
        self.order(Order::Listen(place, listener));
    }

    /// Hands over a connection, registered nowhere, of which news come under this number.
    pub(super) fn dial(&self, number: u64, stream: TcpStream, address: SocketAddr, host: String) {
        self.order(Order::Dial { number, stream, address, host });
    }

    /// Where the thread has ended, its last line in the log says why.
    fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            let _ = self.order_waker.wake();
        }
    }
}

/// Starts the thread.
pub(super) fn start(
    what: &'static str,
    stores: Stores,
    ports: Vec<Port>,
    crowd: Crowd,
    waker: Arc<Waker>,
    logger: Logger,
) -> Result<TlsPorts, String> {
    let text = |error: io::Error| format!("cannot serve TLS: {error}");
    let poll = Poll::new().map_err(text)?;
    let order_waker = Waker::new(poll.registry(), ORDERS).map_err(text)?;
    let (news, told) = channel();
    let (orders, ordered) = channel();
    let reload = Arc::new(AtomicBool::new(false));
    let mut handshakes = Handshakes {
        what,
        stores,
        reload: reload.clone(),
        poll,
        ports,
        more: BTreeSet::new(),
        crowd,
        pending: BTreeMap::new(),
        next: FIRST,
        buffer: vec![0; READ_BYTES],
        orders: ordered,
        news,
        waker,
        logger,
        failed: 0,
        last_failure: String::new(),
    };
    for (at, port) in handshakes.ports.iter_mut().enumerate() {
        let Some(listener) = &mut port.listener else { continue };
        let (registry, token) = (handshakes.poll.registry(), Token(PORTS + at));
        registry.register(listener, token, Interest::READABLE).map_err(text)?;
    }
    std::thread::Builder::new()
        .name("handshakes".to_owned())
        .spawn(move || handshakes.run())
        .map_err(text)?;
    Ok(TlsPorts { news: told, orders, order_waker, reload })
}

impl Handshakes {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            let until_look = next_look.saturating_duration_since(Instant::now());
            let wait = if self.more.is_empty() { until_look } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                let what = self.what;
                self.logger.error(&format!("TLS of {what} ends: cannot wait for sockets: {error}"));
                return;
            }
            for event in &events {
                let going = match event.token() {
                    ORDERS => self.obey(),
                    Token(token) if token < FIRST => {
                        self.accept(token - PORTS);
                        true
                    }
                    Token(token) => self.advance(token),
                };
                if !going {
                    return; // the server's thread has ended
                }
            }
            for at in std::mem::take(&mut self.more) {
                self.accept(at);
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                if !self.end_late_ones() {
                    return;
                }
                self.stores.review(self.reload.swap(false, Ordering::Relaxed));
                self.tell_failures();
                // One that failed for want of file descriptors is tried again.
                for at in 0..self.ports.len() {
                    self.accept(at);
                }
            }
        }
    }

    fn obey(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Listen(place, mut listener) => {
                    let token = Token(PORTS + place);
                    let registry = self.poll.registry();
                    let registered = registry.register(&mut listener, token, Interest::READABLE);
                    match (registered, self.ports.get_mut(place)) {
                        (Ok(()), Some(port)) => port.listener = Some(listener),
                        (Err(error), _) => self
                            .logger
                            .error(&format!("cannot listen for {} anew: {error}", self.what)),
                        (Ok(()), None) => {}
                    }
                    self.accept(place);
                }
                Order::Dial { number, stream, address, host } => {
                    let handshaker = self.stores.now();
                    let deadline = Instant::now() + self.crowd.lobby.time();
                    let origin = Origin::Dialled(number);
                    let begun = handshaker.dial(&host).and_then(|session| {
                        let (tls, early) = (Some(session), Vec::new());
                        let handshake = Handshake { stream, address, tls, early, deadline, origin };
                        self.begin(handshake).map_err(|error| error.to_string())
                    });
                    let going = match begun {
                        Ok(token) => self.advance(token),
                        Err(why) => self.tell(News::Dialled(number, Err(why))),
                    };
                    if !going {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn tell(&self, news: News) -> bool {
        self.news.send(news).is_ok() && self.waker.wake().is_ok()
    }

    fn begin(&mut self, mut handshake: Handshake) -> io::Result<usize> {
        let token = self.next;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut handshake.stream, Token(token), interest)?;
        self.next += 1;
        self.pending.insert(token, handshake);
        Ok(token)
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(port) = self.ports.get(at) else { return };
            let Some(listener) = &port.listener else { return };
            let (stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let tls = if port.plain_too {
                None
            } else {
                match self.stores.now().accept() {
                    Ok(session) => Some(session),
                    Err(why) => {
                        self.fail(address, &why);
                        continue;
                    }
                }
            };
            self.make_place(address.ip());
            let time = self.crowd.lobby.time();
            let (early, deadline) = (Vec::new(), Instant::now() + time);
            let origin = Origin::Port(at);
            // Where it cannot be waited for, the connection ends here.
            let _ = self.begin(Handshake { stream, address, tls, early, deadline, origin });
        }
        self.more.insert(at);
    }

    /// For the connection that is numbered next.
    fn make_place(&mut self, ip: IpAddr) {
        let Crowd { lobby, listed } = &mut self.crowd;
        let listed = listed.as_ref().is_some_and(|listed| listed.contain(ip));
        let oldest = lobby.enter(self.next, (ip, listed), Instant::now());
        if let Some(gone) = oldest.and_then(|token| self.pending.remove(&token)) {
            self.fail(gone.address, "made place for another");
        }
    }

    /// `false`: nobody takes connections any more.
    fn advance(&mut self, token: usize) -> bool {
        let Some(handshake) = self.pending.get_mut(&token) else { return true };
        let step = handshake.step(&self.stores.now(), &mut self.buffer);
        if matches!(step, Step::Waits) {
            return true;
        }
        let Some(mut handshake) = self.pending.remove(&token) else { return true };
        self.crowd.lobby.leave(token);
        if let Step::Failed(why) = step {
            return self.end(&handshake, &why);
        }
        if let Err(error) = self.poll.registry().deregister(&mut handshake.stream) {
            return self.end(&handshake, &error.to_string());
        }
        let Handshake { stream, address, tls, early, origin, .. } = handshake;
        let arrival = Arrival { stream, address, tls, early };
        self.tell(match origin {
            Origin::Port(_) => News::Accepted(arrival),
            Origin::Dialled(number) => News::Dialled(number, Ok(arrival)),
        })
    }

    fn end(&mut self, handshake: &Handshake, why: &str) -> bool {
        match handshake.origin {
            Origin::Port(_) => {
                self.fail(handshake.address, why);
                true
            }
            Origin::Dialled(number) => self.tell(News::Dialled(number, Err(why.to_owned()))),
        }
    }

    fn end_late_ones(&mut self) -> bool {
        let now = Instant::now();
        self.crowd.lobby.take_late(now);
        let late = self.pending.iter().filter(|(_, handshake)| handshake.deadline <= now);
        let late: Vec<usize> = late.map(|(&token, _)| token).collect();
        late.into_iter().all(|token| match self.pending.remove(&token) {
            Some(handshake) => self.end(&handshake, "the handshake took too long"),
            None => true,
        })
    }

    fn fail(&mut self, address: SocketAddr, why: &str) {
        self.failed += 1;
        let listed = self.crowd.listed.as_ref();
        let whose = listed.and_then(|listed| listed.whose(address.ip()));
        let whose = whose.map(|id| format!(" (server {id} by its address)")).unwrap_or_default();
        self.last_failure = format!("{address}{whose}: {why}");
    }

    /// One line a second, however many fail.
    fn tell_failures(&mut self) {
        if self.failed > 0 {
            let (failed, last, what) = (self.failed, &self.last_failure, self.what);
            self.logger
                .warn(&format!("{failed} TLS handshakes of {what} have failed; the last, {last}"));
            self.failed = 0;
        }
    }
}
