//! Connections between servers on the quorum port.
//!
//! Each server dials every other one and speaks on the connection it dialled; it listens on
//! those it accepted. Who the other is gets proved first (`proof`), then messages flow.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::addresses::ListedAddresses;
use super::channel::Channel;
use super::completion::Completions;
use super::lobby::{HANDSHAKE_TIME, Lobby};
use super::logging::Logger;
use super::peer_auth::{self, KeyRing, Nonce, Port};
use super::peer_io::{drain, fresh_nonce, read_some, take_frame, write_whole};
use super::peer_tls::PeerTls;
use super::peers_accepted::Incoming;
use super::records::{RECORD_BYTES_MAX, Sealed, Sealer};
use super::tls_port::{Arrival, News, TlsPorts};
use crate::config::Server;
use crate::node::{Node, PeerHello};

/// Connections this server dialled have the member's id here.
pub(super) const DIALLED: usize = 0x100;

/// A connection that is not there by then is dialled anew: the system itself would wait longer each
/// time, and not notice for seconds that a cut has healed.
const CONNECT_TIME: Duration = Duration::from_millis(1200);
/// Each step of a handshake is one round trip, and ends after this.
const STEP_TIME: Duration = Duration::from_millis(1200);
/// Of one member: what its name resolves to, and where it was heard from.
const ADDRESSES_MAX: usize = 16;
/// A member that does not take its messages is given up at this backlog.
const BACKLOG_BYTES_MAX: usize = 128 << 20;
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);
pub(super) const READ_BYTES: usize = 64 << 10;

/// Where a dialled connection stands.
pub(super) enum Dialled {
    Waiting,
    Resolving,
    Connecting {
        stream: TcpStream,
        address: SocketAddr,
        /// Whom the certificate must be for.
        host: String,
        since: Instant,
    },
    /// The thread of handshakes has it, under this number.
    Securing {
        number: u64,
        host: String,
        since: Instant,
    },
    Proving {
        channel: Channel,
        nonce: Nonce,
        theirs: Option<Nonce>,
        input: Vec<u8>,
        since: Instant,
    },
    Up {
        channel: Channel,
        writable: bool,
        sealer: Box<Sealer>,
        /// The record at the front of the node's output, on its way into the socket.
        sealed: Option<Sealed>,
    },
}

pub(super) struct Member {
    /// As they stand in the server list, with the port of each.
    hosts: Vec<(String, u16)>,
    /// What they mean now, each with the host that led there.
    addresses: Vec<(SocketAddr, String)>,
    next_address: usize,
    /// Which of this server's secrets it is dialled with: each is tried at every address.
    key: usize,
    pub(super) link: Dialled,
    pub(super) retry_at: Instant,
    pub(super) retry_after: Duration,
    /// It stands in the ensemble's list no more.
    left: bool,
    /// The last trouble told, so that it is told once.
    told: String,
}

impl Member {
    fn at(hosts: Vec<(String, u16)>) -> Self {
        Member {
            hosts,
            addresses: Vec::new(),
            next_address: 0,
            key: 0,
            link: Dialled::Waiting,
            retry_at: Instant::now(),
            retry_after: RETRY_FIRST,
            left: false,
            told: String::new(),
        }
    }

    /// It has proved from this address who it is: it is dialled there, too, besides where its name
    /// or address in the server list leads.
    pub(super) fn also_at(&mut self, ip: IpAddr) {
        let Some((host, port)) = self.hosts.first() else { return };
        let address = SocketAddr::new(ip.to_canonical(), *port);
        // Not before the list's own addresses are known: those come first.
        if self.addresses.is_empty() || self.addresses.iter().any(|(known, _)| *known == address) {
            return;
        }
        self.addresses.truncate(ADDRESSES_MAX - 1);
        self.addresses.push((address, host.clone()));
    }

    fn has_names(&self) -> bool {
        self.hosts.iter().any(|(host, _)| host.parse::<IpAddr>().is_err())
    }
}

/// What the hosts mean now; names that mean nothing are left out.
fn resolve(hosts: &[(String, u16)]) -> Vec<(SocketAddr, String)> {
    let addresses = hosts.iter().flat_map(|(host, port)| {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), *port));
        found.into_iter().flatten().map(|address| (address, host.clone()))
    });
    addresses.collect()
}

/// All links of this server.
pub(super) struct Peers {
    me: u8,
    pub(super) ring: KeyRing,
    pub(super) tls: Option<(PeerTls, TlsPorts)>,
    /// Connections given to the thread of handshakes so far.
    handed: u64,
    pub(super) listed: ListedAddresses,
    pub(super) members: BTreeMap<u8, Member>,
    pub(super) incoming: BTreeMap<usize, Incoming>,
    /// Accepting failed for want of file descriptors, or more may wait; to be tried again.
    pub(super) accept_again: bool,
    /// Connections accepted so far: each has a number of its own.
    pub(super) accepted: usize,
    pub(super) lobby: Lobby,
    pub(super) strangers_told: Option<Instant>,
    completions: Completions,
    pub(super) logger: Logger,
    pub(super) buffer: Vec<u8>,
    /// The longest silence of a link.
    silence: Duration,
}

impl Peers {
    pub(super) fn new(
        me: u8,
        (ring, listed): (KeyRing, ListedAddresses),
        tls: Option<(PeerTls, TlsPorts)>,
        members: impl Iterator<Item = (u8, Vec<(String, u16)>)>,
        silence: Duration,
        completions: Completions,
        logger: Logger,
    ) -> Self {
        let others = members.filter(|(id, ..)| *id != me);
        let members = others.map(|(id, hosts)| (id, Member::at(hosts))).collect();
        Peers {
            me,
            ring,
            tls,
            handed: 0,
            listed,
            members,
            incoming: BTreeMap::new(),
            accept_again: false,
            accepted: 0,
            lobby: Lobby::default(),
            strangers_told: None,
            completions,
            logger,
            buffer: vec![0; READ_BYTES],
            silence,
        }
    }

    /// The ensemble has decided who its members are. Links to those that have left end by themselves.
    pub(super) fn set_members(&mut self, members: &BTreeMap<u8, Server>, node: &mut Node) {
        for (&id, server) in members.iter().filter(|(id, _)| **id != self.me) {
            let hosts = server.quorum_addresses();
            if self.members.get(&id).is_none_or(|member| member.hosts != hosts) {
                node.peer_disconnected(id);
                self.members.insert(id, Member::at(hosts));
            }
        }
        self.members.iter_mut().for_each(|(id, member)| member.left = !members.contains_key(id));
        self.listed.keep(|id| members.contains_key(&id));
        if let Some((tls, _)) = &self.tls {
            tls.set_hosts(members);
        }
    }

    /// Dials who is not connected and due; ends proofs that take too long.
    pub(super) fn tick(&mut self, registry: &Registry, node: &mut Node) {
        let now = Instant::now();
        let up = |member: &Member| matches!(member.link, Dialled::Up { .. });
        self.members.retain(|_, member| !member.left || up(member));
        let ids: Vec<u8> = self.members.keys().copied().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its key is there");
            match &member.link {
                Dialled::Waiting if now >= member.retry_at => self.dial(id, registry),
                Dialled::Connecting { since, .. } if now - *since > CONNECT_TIME => {
                    self.drop_link(id, node, "it does not answer");
                }
                Dialled::Securing { since, .. } if now - *since > HANDSHAKE_TIME => {
                    self.drop_link(id, node, "the TLS handshake does not end");
                }
                Dialled::Proving { since, .. } if now - *since > STEP_TIME => {
                    self.drop_link(id, node, "it does not say who it is");
                }
                _ => {}
            }
        }
        self.end_late_strangers(now);
    }

    fn dial(&mut self, id: u8, registry: &Registry) {
        let completions = self.completions.clone();
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.addresses.is_empty() {
            if member.has_names() {
                // A resolver may take seconds: not on this thread.
                member.link = Dialled::Resolving;
                let hosts = member.hosts.clone();
                std::thread::spawn(move || completions.resolved(id, resolve(&hosts)));
                return;
            }
            member.addresses = resolve(&member.hosts);
            self.listed.set(id, &member.addresses);
        }
        let count = member.addresses.len();
        let (address, host) = member.addresses[member.next_address % count].clone();
        member.key = member.next_address / count;
        member.next_address += 1;
        let connected = TcpStream::connect(address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(DIALLED + usize::from(id)), interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                member.link = Dialled::Connecting { stream, address, host, since: Instant::now() };
            }
            Err(error) => {
                let why = error.to_string();
                self.retry(id, &why);
            }
        }
    }

    pub(super) fn resolved(&mut self, id: u8, addresses: Vec<(SocketAddr, String)>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if addresses.is_empty() {
            let hosts: Vec<&str> = member.hosts.iter().map(|(host, _)| host.as_str()).collect();
            let why = format!("cannot resolve the host name `{}`", hosts.join("`, `"));
            return self.retry(id, &why);
        }
        self.listed.set(id, &addresses);
        member.addresses = addresses;
        member.link = Dialled::Waiting;
        member.retry_at = Instant::now();
    }

    fn retry(&mut self, id: u8, why: &str) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.link = Dialled::Waiting;
        member.retry_at = Instant::now() + member.retry_after;
        member.retry_after = (member.retry_after * 2).min(RETRY_MAX);
        if member.has_names() && member.retry_after >= RETRY_MAX {
            member.addresses.clear(); // its name may mean another address by now
        }
        if member.told != why {
            why.clone_into(&mut member.told);
            let at: Vec<String> =
                member.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
            self.logger.warn(&format!("no link to server {id} ({}): {why}", at.join(", ")));
        }
    }

    /// The link to a member ends; it is dialled again.
    pub(super) fn drop_link(&mut self, id: u8, node: &mut Node, why: &str) {
        node.peer_disconnected(id);
        self.retry(id, why);
    }

    /// Nothing was heard from a member for long: both connections are of the past.
    pub(super) fn redial(&mut self, id: u8, node: &mut Node) {
        self.forget_incoming(id);
        self.drop_link(id, node, "nothing was heard from it for long");
        if let Some(member) = self.members.get_mut(&id) {
            member.retry_at = Instant::now();
        }
    }

    /// A dialled connection has something to say, or room.
    pub(super) fn dialled_ready(&mut self, event: &Event, registry: &Registry, node: &mut Node) {
        let id = (event.token().0 - DIALLED) as u8;
        if let Err(why) = self.advance_dialled(id, event, registry, node) {
            self.drop_link(id, node, &why);
        }
    }

    fn advance_dialled(
        &mut self,
        id: u8,
        event: &Event,
        registry: &Registry,
        node: &mut Node,
    ) -> Result<(), String> {
        let text = |e: io::Error| e.to_string();
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        match std::mem::replace(&mut member.link, Dialled::Waiting) {
            Dialled::Connecting { mut stream, address, host, since } => {
                if let Some(error) = stream.take_error().map_err(text)? {
                    return Err(text(error));
                }
                if stream.peer_addr().is_err() {
                    member.link = Dialled::Connecting { stream, address, host, since };
                    return Ok(());
                }
                stream.set_nodelay(true).map_err(text)?;
                // Silence is noticed on both sides; this is for what the other side never got.
                let silence = self.silence.as_millis() as u32;
                rustix::net::sockopt::set_tcp_user_timeout(&stream, silence)
                    .map_err(|e| e.to_string())?;
                match &self.tls {
                    Some((tls, ports)) if tls.dials => {
                        registry.deregister(&mut stream).map_err(text)?;
                        self.handed += 1;
                        let number = self.handed;
                        ports.dial(number, stream, address, host.clone());
                        member.link = Dialled::Securing { number, host, since: Instant::now() };
                        Ok(())
                    }
                    _ => self.prove(id, Channel::plain(stream), Vec::new()),
                }
            }
            Dialled::Proving { mut channel, nonce, mut theirs, mut input, mut since } => {
                let key = self.ring.nth(member.key);
                let open = read_some(&mut channel, &mut self.buffer, &mut input).map_err(text)?;
                while let Some(frame) = take_frame(&mut input)? {
                    if let Some(theirs) = theirs {
                        let nonces = (&nonce, &theirs);
                        let (hello, features) =
                            peer_auth::check_welcome(key, Port::Quorum, nonces, &frame)
                                .map_err(|error| error.to_string())?;
                        let sealer = key.sealer(Port::Quorum, nonces, true, features);
                        return self.welcomed(id, channel, sealer, hello, node);
                    }
                    let hello = node.hello();
                    let (answer, seen) =
                        peer_auth::answer(key, Port::Quorum, &nonce, &frame, &hello)
                            .map_err(|error| error.to_string())?;
                    write_whole(&mut channel, &answer).map_err(text)?;
                    theirs = Some(seen);
                    since = Instant::now();
                }
                if !open {
                    return Err("it closed the connection".to_owned());
                }
                let member = self.members.get_mut(&id).expect("looked at it");
                member.link = Dialled::Proving { channel, nonce, theirs, input, since };
                Ok(())
            }
            Dialled::Up { mut channel, mut writable, sealer, sealed } => {
                writable |= event.is_writable();
                let mut nothing = Vec::new();
                let open = !event.is_readable()
                    || read_some(&mut channel, &mut self.buffer, &mut nothing).map_err(text)?;
                if !open || !nothing.is_empty() {
                    return Err("the connection has ended".to_owned());
                }
                member.link = Dialled::Up { channel, writable, sealer, sealed };
                self.send_to(id, node)
            }
            other => {
                member.link = other;
                Ok(())
            }
        }
    }

    /// The first frame of the proof leaves.
    fn prove(&mut self, id: u8, mut channel: Channel, input: Vec<u8>) -> Result<(), String> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let nonce = fresh_nonce();
        let opening = peer_auth::opening(self.ring.nth(member.key), Port::Quorum, &nonce);
        write_whole(&mut channel, &opening).map_err(|error| error.to_string())?;
        let since = Instant::now();
        member.link = Dialled::Proving { channel, nonce, theirs: None, input, since };
        Ok(())
    }

    /// Takes what the thread of handshakes has done.
    pub(super) fn hear_handshakes(&mut self, registry: &Registry, node: &mut Node) {
        while let Some(news) = self.tls.as_ref().and_then(|(_, ports)| ports.news.try_recv().ok()) {
            match news {
                News::Accepted(arrival) => {
                    let address = arrival.address;
                    let (channel, early) = Channel::arrived(arrival);
                    self.take_in(channel, early, address, registry, node);
                }
                News::Dialled(number, outcome) => {
                    let mut members = self.members.iter();
                    let waits = |member: &Member| matches!(member.link, Dialled::Securing { number: own, .. } if own == number);
                    // What was given up in the meantime ends here.
                    let Some((&id, member)) = members.find(|(_, member)| waits(member)) else {
                        continue;
                    };
                    let Dialled::Securing { host, .. } = &member.link else { continue };
                    let host = host.clone();
                    if let Err(why) =
                        outcome.and_then(|arrival| self.secured(id, &host, arrival, registry))
                    {
                        self.drop_link(id, node, &why);
                    }
                }
            }
        }
    }

    fn secured(
        &mut self,
        id: u8,
        host: &str,
        arrival: Arrival,
        registry: &Registry,
    ) -> Result<(), String> {
        let Some((tls, _)) = &self.tls else { return Ok(()) };
        if let Some(session) = &arrival.tls {
            tls.check_dialled(session, host, arrival.address.ip())?;
        }
        let (mut channel, early) = Channel::arrived(arrival);
        channel
            .register(
                registry,
                Token(DIALLED + usize::from(id)),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(|error| error.to_string())?;
        self.prove(id, channel, early)
    }

    fn welcomed(
        &mut self,
        id: u8,
        channel: Channel,
        sealer: Sealer,
        hello: PeerHello,
        node: &mut Node,
    ) -> Result<(), String> {
        if hello.id != id {
            return Err(format!(
                "the server there says that it is server {}; compare `server.N` and `myid`",
                hello.id
            ));
        }
        node.check_hello(&hello)?;
        let member = self.members.get_mut(&id).expect("it was dialled");
        let sealer = Box::new(sealer);
        let how = if channel.tls().is_some() { " by TLS" } else { "" };
        let readable = channel.tls().is_none() && !sealer.encrypts();
        // Where there is no secret the start has told.
        let fallen_back = readable && sealer.authenticates();
        member.link = Dialled::Up { channel, writable: true, sealer, sealed: None };
        member.retry_after = RETRY_FIRST;
        member.told.clear();
        self.logger.info(&format!("linked to server {id}{how}"));
        if fallen_back {
            self.logger.warn(&readable_on_the_way(id, &crate::tls::missing_features()));
        }
        node.peer_connected(hello);
        Ok(())
    }

    /// Linked members to which everything goes in a form that can be read on the way.
    pub(super) fn unencrypted(&self) -> usize {
        let readable = |member: &&Member| match &member.link {
            Dialled::Up { channel, sealer, .. } => channel.tls().is_none() && !sealer.encrypts(),
            _ => false,
        };
        self.members.values().filter(readable).count()
    }

    /// Writes what the node has for its peers.
    pub(super) fn send(&mut self, node: &mut Node) {
        let ids: Vec<u8> = self.members.keys().copied().collect();
        for id in ids {
            if let Err(why) = self.send_to(id, node) {
                self.drop_link(id, node, &why);
            }
        }
    }

    fn send_to(&mut self, id: u8, node: &mut Node) -> Result<(), String> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let Dialled::Up { channel, writable, sealer, sealed } = &mut member.link else {
            return Ok(());
        };
        let Some(output) = node.peer_output(id) else { return Ok(()) };
        if *writable && channel.has_output() {
            match channel.flush() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => *writable = false,
                Err(e) => return Err(e.to_string()),
            }
        }
        loop {
            let record = match sealed {
                Some(record) => record,
                None if output.is_empty() => return Ok(()),
                None => {
                    let length = output.len().min(RECORD_BYTES_MAX);
                    sealed.insert(sealer.seal(&mut output[..length]))
                }
            };
            if !*writable {
                let backlog = output.len() > BACKLOG_BYTES_MAX;
                return if backlog {
                    Err("it does not read its messages".to_owned())
                } else {
                    Ok(())
                };
            }
            while !record.is_sent() {
                match channel.write_vectored(&record.rest(output)) {
                    Ok(0) => return Err("the connection has ended".to_owned()),
                    Ok(n) => record.was_sent(n),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        *writable = false;
                        break;
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e.to_string()),
                }
            }
            if record.is_sent() {
                drain(output, record.payload_bytes());
                *sealed = None;
            }
        }
    }
}

/// What the log says of a link whose records carry an HMAC alone.
fn readable_on_the_way(id: u8, missing_here: &[&str]) -> String {
    let whose = if missing_here.is_empty() {
        format!("the processor of server {id}, or its release, has no AES-GCM")
    } else {
        format!("this server's processor lacks {}", missing_here.join(", "))
    };
    format!(
        "what goes to server {id} is authentic, but can be read on the way: {whose}; use TLS between \
         members (`sslQuorum`) or another processor"
    )
}
