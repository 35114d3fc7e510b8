//! Connections between servers on the quorum port.
//!
//! Each server dials every other one and speaks on the connection it dialled; it listens on those
//! it accepted. Who the other is gets proved first (`proof`), then messages flow.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::completion::Completions;
use super::logging::Logger;
use super::peer_auth::{self, AuthError, Key, Nonce, Port};
use crate::config::Server;
use crate::node::{Node, PeerHello, peer};

/// Connections this server dialled have the member's id here.
pub(super) const DIALLED: usize = 0x100;
/// Connections it accepted are numbered from here.
pub(super) const ACCEPTED: usize = 0x1_0000;

/// Connections that have not proved who they are; more are refused until some have.
const STRANGERS_MAX: usize = 64;
/// A proof that takes longer than this ends.
const PROOF_TIME: Duration = Duration::from_secs(5);
/// Of one member: what its name resolves to, and where it was heard from.
const ADDRESSES_MAX: usize = 8;
/// A member that does not take its messages is given up at this backlog.
const BACKLOG_BYTES_MAX: usize = 128 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 64 << 10;

/// Where a dialled connection stands.
enum Dialled {
    Waiting,
    Resolving,
    Connecting {
        stream: TcpStream,
        nonce: Nonce,
        since: Instant,
    },
    Proving {
        stream: TcpStream,
        nonce: Nonce,
        theirs: Option<Nonce>,
        input: Vec<u8>,
        since: Instant,
    },
    Up {
        stream: TcpStream,
        writable: bool,
    },
}

struct Member {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    next_address: usize,
    link: Dialled,
    retry_at: Instant,
    retry_after: Duration,
    /// It stands in the ensemble's list no more.
    left: bool,
    /// The last trouble told, so that it is told once.
    told: String,
}

impl Member {
    fn at(host: String, port: u16) -> Self {
        Member {
            host,
            port,
            addresses: Vec::new(),
            next_address: 0,
            link: Dialled::Waiting,
            retry_at: Instant::now(),
            retry_after: RETRY_FIRST,
            left: false,
            told: String::new(),
        }
    }

    /// It has proved from this address who it is: it is dialled there, too, besides where its name
    /// or address in the server list leads.
    fn also_at(&mut self, ip: IpAddr) {
        let address = SocketAddr::new(ip.to_canonical(), self.port);
        // Not before the list's own addresses are known: those come first.
        if self.addresses.is_empty() || self.addresses.contains(&address) {
            return;
        }
        self.addresses.truncate(ADDRESSES_MAX - 1);
        self.addresses.push(address);
    }
}

enum Accepted {
    /// Before the third frame of the proof.
    AuthError {
        opening: Vec<u8>,
        nonce: Nonce,
        challenged: bool,
        since: Instant,
    },
    Up {
        member: u8,
    },
}

struct Incoming {
    stream: TcpStream,
    address: SocketAddr,
    input: Vec<u8>,
    state: Accepted,
}

/// All links of this server.
pub(super) struct Peers {
    me: u8,
    key: Key,
    members: BTreeMap<u8, Member>,
    incoming: BTreeMap<usize, Incoming>,
    next_incoming: usize,
    completions: Completions,
    logger: Logger,
    buffer: Vec<u8>,
}

impl Peers {
    pub(super) fn new(
        me: u8,
        key: Key,
        members: impl Iterator<Item = (u8, String, u16)>,
        completions: Completions,
        logger: Logger,
    ) -> Self {
        let others = members.filter(|(id, ..)| *id != me);
        let members = others.map(|(id, host, port)| (id, Member::at(host, port))).collect();
        Peers {
            me,
            key,
            members,
            incoming: BTreeMap::new(),
            next_incoming: ACCEPTED,
            completions,
            logger,
            buffer: vec![0; READ_BYTES],
        }
    }

    /// The ensemble has decided who its members are. Links to those that have left end by themselves.
    pub(super) fn set_members(&mut self, members: &BTreeMap<u8, Server>, node: &mut Node) {
        for (&id, server) in members.iter().filter(|(id, _)| **id != self.me) {
            let at = (&server.host, server.quorum_port);
            if self.members.get(&id).is_none_or(|member| (&member.host, member.port) != at) {
                node.peer_disconnected(id);
                self.members.insert(id, Member::at(server.host.clone(), server.quorum_port));
            }
        }
        self.members.iter_mut().for_each(|(id, member)| member.left = !members.contains_key(id));
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
                Dialled::Connecting { since, .. } | Dialled::Proving { since, .. }
                    if now - *since > PROOF_TIME =>
                {
                    self.drop_link(id, node, "it does not answer");
                }
                _ => {}
            }
        }
        let late = |i: &Incoming| matches!(i.state, Accepted::AuthError { since, .. } if now - since > PROOF_TIME);
        self.incoming.retain(|_, incoming| !late(incoming));
    }

    fn dial(&mut self, id: u8, registry: &Registry) {
        let completions = self.completions.clone();
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.addresses.is_empty() {
            if let Ok(ip) = member.host.parse::<IpAddr>() {
                member.addresses.push(SocketAddr::new(ip, member.port));
            } else {
                // A resolver may take seconds: not on this thread.
                member.link = Dialled::Resolving;
                let (host, port) = (member.host.clone(), member.port);
                std::thread::spawn(move || {
                    let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port));
                    let addresses = found.map(Iterator::collect).unwrap_or_default();
                    completions.resolved(id, addresses);
                });
                return;
            }
        }
        let address = member.addresses[member.next_address % member.addresses.len()];
        member.next_address += 1;
        let connected = TcpStream::connect(address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(DIALLED + usize::from(id)), interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let nonce = fresh_nonce();
                member.link = Dialled::Connecting { stream, nonce, since: Instant::now() };
            }
            Err(error) => {
                let why = error.to_string();
                self.retry(id, &why);
            }
        }
    }

    pub(super) fn resolved(&mut self, id: u8, addresses: Vec<SocketAddr>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if addresses.is_empty() {
            let why = format!("cannot resolve the host name `{}`", member.host);
            return self.retry(id, &why);
        }
        member.addresses = addresses;
        member.link = Dialled::Waiting;
        member.retry_at = Instant::now();
    }

    fn retry(&mut self, id: u8, why: &str) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.link = Dialled::Waiting;
        member.retry_at = Instant::now() + member.retry_after;
        member.retry_after = (member.retry_after * 2).min(RETRY_MAX);
        if member.host.parse::<IpAddr>().is_err() && member.retry_after >= RETRY_MAX {
            member.addresses.clear(); // its name may mean another address by now
        }
        if member.told != why {
            why.clone_into(&mut member.told);
            let (host, port) = (&member.host, member.port);
            self.logger.warn(&format!("no link to server {id} ({host}:{port}): {why}"));
        }
    }

    /// The link to a member ends; it is dialled again.
    pub(super) fn drop_link(&mut self, id: u8, node: &mut Node, why: &str) {
        node.peer_disconnected(id);
        self.retry(id, why);
    }

    /// A dialled connection has something to say, or room.
    pub(super) fn dialled_ready(&mut self, event: &Event, node: &mut Node) {
        let id = (event.token().0 - DIALLED) as u8;
        if let Err(why) = self.advance_dialled(id, event, node) {
            self.drop_link(id, node, &why);
        }
    }

    fn advance_dialled(&mut self, id: u8, event: &Event, node: &mut Node) -> Result<(), String> {
        let text = |e: io::Error| e.to_string();
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        match std::mem::replace(&mut member.link, Dialled::Waiting) {
            Dialled::Connecting { mut stream, nonce, since } => {
                if let Some(error) = stream.take_error().map_err(text)? {
                    return Err(text(error));
                }
                if stream.peer_addr().is_err() {
                    member.link = Dialled::Connecting { stream, nonce, since };
                    return Ok(());
                }
                stream.set_nodelay(true).map_err(text)?;
                write_whole(&mut stream, &peer_auth::opening(&nonce)).map_err(text)?;
                let input = Vec::new();
                member.link = Dialled::Proving { stream, nonce, theirs: None, input, since };
                Ok(())
            }
            Dialled::Proving { mut stream, nonce, mut theirs, mut input, since } => {
                let open = read_some(&mut stream, &mut self.buffer, &mut input).map_err(text)?;
                while let Some(frame) = take_frame(&mut input)? {
                    if let Some(theirs) = theirs {
                        let hello = peer_auth::check_welcome(
                            &self.key,
                            Port::Quorum,
                            (&nonce, &theirs),
                            &frame,
                        )
                        .map_err(|AuthError(why)| why)?;
                        return self.welcomed(id, stream, hello, node);
                    }
                    let (answer, seen) =
                        peer_auth::answer(&self.key, Port::Quorum, &nonce, &frame, &node.hello())
                            .map_err(|AuthError(why)| why)?;
                    write_whole(&mut stream, &answer).map_err(text)?;
                    theirs = Some(seen);
                }
                if !open {
                    return Err("it closed the connection".to_owned());
                }
                let member = self.members.get_mut(&id).expect("looked at it");
                member.link = Dialled::Proving { stream, nonce, theirs, input, since };
                Ok(())
            }
            Dialled::Up { mut stream, mut writable } => {
                writable |= event.is_writable();
                let mut nothing = Vec::new();
                let open = !event.is_readable()
                    || read_some(&mut stream, &mut self.buffer, &mut nothing).map_err(text)?;
                if !open || !nothing.is_empty() {
                    return Err("the connection has ended".to_owned());
                }
                member.link = Dialled::Up { stream, writable };
                self.send_to(id, node)
            }
            other => {
                member.link = other;
                Ok(())
            }
        }
    }

    fn welcomed(
        &mut self,
        id: u8,
        stream: TcpStream,
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
        member.link = Dialled::Up { stream, writable: true };
        member.retry_after = RETRY_FIRST;
        member.told.clear();
        self.logger.info(&format!("linked to server {id}"));
        node.peer_connected(hello);
        Ok(())
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
        let Dialled::Up { stream, writable } = &mut member.link else { return Ok(()) };
        let Some(output) = node.peer_output(id) else { return Ok(()) };
        if output.is_empty() || !*writable {
            if output.len() > BACKLOG_BYTES_MAX {
                return Err("it does not take its messages".to_owned());
            }
            return Ok(());
        }
        let mut sent = 0;
        while sent < output.len() {
            match stream.write(&output[sent..]) {
                Ok(0) => return Err("the connection has ended".to_owned()),
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    *writable = false;
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        drain(output, sent);
        Ok(())
    }

    // ---- accepted connections ----

    pub(super) fn accept(&mut self, listener: &TcpListener, registry: &Registry) {
        loop {
            let (mut stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let strangers =
                self.incoming.values().filter(|i| matches!(i.state, Accepted::AuthError { .. }));
            if strangers.count() >= STRANGERS_MAX {
                continue; // dropped: whoever is meant to be here tries again
            }
            let token = self.next_incoming;
            self.next_incoming = if token + 1 >= ACCEPTED * 2 { ACCEPTED } else { token + 1 };
            let registered = stream
                .set_nodelay(true)
                .and_then(|()| registry.register(&mut stream, Token(token), Interest::READABLE));
            if registered.is_err() {
                continue;
            }
            let state = Accepted::AuthError {
                opening: Vec::new(),
                nonce: fresh_nonce(),
                challenged: false,
                since: Instant::now(),
            };
            let input = Vec::new();
            self.incoming.insert(token, Incoming { stream, address, input, state });
        }
    }

    /// An accepted connection has something to say.
    pub(super) fn accepted_ready(&mut self, token: usize, hangup: bool, node: &mut Node) {
        let Some(mut incoming) = self.incoming.remove(&token) else { return };
        match self.advance_accepted(&mut incoming, hangup, node) {
            Ok(true) => {
                self.incoming.insert(token, incoming);
            }
            Ok(false) => {}
            Err(why) => {
                let address = incoming.address;
                self.logger.warn(&format!("a connection from {address} to the quorum port: {why}"));
            }
        }
    }

    /// `false`: it has ended.
    fn advance_accepted(
        &mut self,
        incoming: &mut Incoming,
        hangup: bool,
        node: &mut Node,
    ) -> Result<bool, String> {
        loop {
            let Incoming { stream, input, .. } = incoming;
            let (open, more) = match read_once(stream, &mut self.buffer, input) {
                Ok(Read::Some) => (true, true),
                // The end may stand behind the last bytes; no event tells it again.
                Ok(Read::Last) => (true, hangup),
                Ok(Read::Nothing) => return Ok(true),
                Ok(Read::End) => (false, false),
                Err(e) if matches!(incoming.state, Accepted::Up { .. }) => {
                    drop(e); // who dialled notices and dials again
                    return Ok(false);
                }
                Err(e) => return Err(e.to_string()),
            };
            if let Accepted::AuthError { .. } = incoming.state {
                self.hear_unauthenticated(incoming, node)?;
            }
            if let Accepted::Up { member } = incoming.state {
                let taken = crate::node::split_frames(&incoming.input, |message| {
                    node.peer_message(member, message);
                });
                let taken = taken
                    .ok_or_else(|| format!("server {member} sent a frame over the size limit"))?;
                drain(&mut incoming.input, taken);
                if incoming.input.len() > peer::MESSAGE_BYTES_MAX + READ_BYTES {
                    return Err(format!("server {member} sent more than its buffer holds"));
                }
            }
            if !more {
                return Ok(open);
            }
        }
    }

    fn hear_unauthenticated(
        &mut self,
        incoming: &mut Incoming,
        node: &mut Node,
    ) -> Result<(), String> {
        while let Some(frame) = take_frame(&mut incoming.input)? {
            let Accepted::AuthError { opening, nonce, challenged, .. } = &mut incoming.state else {
                return Ok(());
            };
            if !*challenged {
                let challenge = peer_auth::challenge(&self.key, Port::Quorum, &frame, nonce)
                    .map_err(|AuthError(why)| why)?;
                *opening = frame;
                *challenged = true;
                write_whole(&mut incoming.stream, &challenge).map_err(|e| e.to_string())?;
                continue;
            }
            let hello = peer_auth::check_answer(&self.key, Port::Quorum, opening, nonce, &frame)
                .map_err(|AuthError(why)| why)?;
            let verdict = node.check_hello(&hello);
            let mine = node.hello();
            let told = verdict.as_ref().map(|()| &mine).map_err(String::as_str);
            let welcome = peer_auth::welcome(&self.key, Port::Quorum, opening, nonce, told);
            write_whole(&mut incoming.stream, &welcome).map_err(|e| e.to_string())?;
            verdict.map_err(|why| format!("server {} is refused: {why}", hello.id))?;
            let member = hello.id;
            // One connection a member: what an earlier one still holds is of the past.
            self.incoming
                .retain(|_, i| !matches!(i.state, Accepted::Up { member: m } if m == member));
            incoming.state = Accepted::Up { member };
            // Whoever just came up may be dialled at once, also where it is now: a member that was
            // replaced by another host is met before the server lists have its new address.
            if let Some(member) = self.members.get_mut(&member)
                && matches!(member.link, Dialled::Waiting)
            {
                member.also_at(incoming.address.ip());
                member.retry_at = Instant::now();
                member.retry_after = RETRY_FIRST;
            }
            return Ok(());
        }
        Ok(())
    }
}

pub(super) fn fresh_nonce() -> Nonce {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}

enum Read {
    Some,
    /// Bytes, and no more for now.
    Last,
    Nothing,
    End,
}

fn read_once(stream: &mut TcpStream, buffer: &mut [u8], into: &mut Vec<u8>) -> io::Result<Read> {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Ok(Read::End),
            Ok(n) => {
                into.extend_from_slice(&buffer[..n]);
                // A short read has emptied the socket: the next bytes bring a new event.
                Ok(if n < buffer.len() { Read::Last } else { Read::Some })
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
    }
}

/// Reads until there is no more for now; `false` at the end of the stream.
fn read_some(stream: &mut TcpStream, buffer: &mut [u8], into: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        match read_once(stream, buffer, into)? {
            Read::Some | Read::Last if into.len() > 4 * peer_auth::FRAME_BYTES_MAX => {
                return Err(io::Error::other("it says too much before it has proved who it is"));
            }
            Read::Some => {}
            Read::Last | Read::Nothing => return Ok(true),
            Read::End => return Ok(false),
        }
    }
}

/// A frame of the introduction; small enough for any socket's buffer.
fn write_whole(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(frame);
    let written = stream.write(&bytes)?;
    if written == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::other("no room for an introduction"))
    }
}

fn take_frame(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > peer_auth::FRAME_BYTES_MAX {
        let start = input[..4].escape_ascii().to_string();
        return Err(format!("it starts with `{start}`, which is not a coordinator's handshake"));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let frame = frame.to_vec();
    input.drain(..4 + length);
    Ok(Some(frame))
}

/// Removes what was dealt with; gives back memory that a burst has taken.
pub(super) fn drain(buffer: &mut Vec<u8>, taken: usize) {
    if taken >= buffer.len() {
        buffer.clear();
        buffer.shrink_to(1 << 20);
    } else if taken > 0 {
        buffer.drain(..taken);
    }
}
