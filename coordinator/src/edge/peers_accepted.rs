//! Connections that other members have dialled: who they are, and what they say.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use super::channel::{Channel, Read};
use super::peer_auth::{self, Key, Nonce, Port};
use super::peer_io::{drain, fresh_nonce, take_frame, write_whole};
use super::peers::{Dialled, Peers, READ_BYTES, RETRY_FIRST};
use super::records::{Opener, RECORD_BYTES_MAX};
use crate::node::{Node, peer, split_frames};

/// Connections that were accepted have this bit in their token, and a number never used again.
pub(super) const ACCEPTED: usize = 1 << (usize::BITS - 1);

/// Accepted at once: whoever connects without end must not keep this thread from everybody else.
const ACCEPTS_AT_ONCE: usize = 64;
/// From one line about strangers to the next.
const STRANGERS_EVERY: Duration = Duration::from_secs(10);

enum Accepted {
    /// Nothing has come.
    Silent,
    /// The first frame has come and is answered.
    Challenged { theirs: Nonce, key: Key },
    /// A member: what it says.
    Up { member: u8, opener: Opener, messages: Vec<u8> },
}

pub(super) struct Incoming {
    channel: Channel,
    address: SocketAddr,
    nonce: Nonce,
    input: Vec<u8>,
    state: Accepted,
}

impl Incoming {
    fn is_of(&self, id: u8) -> bool {
        matches!(self.state, Accepted::Up { member, .. } if member == id)
    }
}

impl Peers {
    pub(super) fn accept(&mut self, listener: &TcpListener, registry: &Registry, node: &mut Node) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let (stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.accept_again |= e.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            };
            self.take_in(Channel::plain(stream), Vec::new(), address, registry, node);
        }
        self.accept_again = true;
    }

    /// A connection, and what has come on it already.
    pub(super) fn take_in(
        &mut self,
        mut channel: Channel,
        input: Vec<u8>,
        address: SocketAddr,
        registry: &Registry,
        node: &mut Node,
    ) {
        let token = ACCEPTED | self.accepted;
        self.accepted += 1;
        let no_delay = channel.stream().set_nodelay(true);
        let registered =
            no_delay.and_then(|()| channel.register(registry, Token(token), Interest::READABLE));
        if registered.is_err() {
            return;
        }
        let from = (address.ip(), self.listed.contain(address.ip()));
        if let Some(oldest) = self.lobby.enter(token, from, Instant::now()) {
            self.incoming.remove(&oldest);
        }
        let (state, nonce) = (Accepted::Silent, fresh_nonce());
        let heard = !input.is_empty();
        self.incoming.insert(token, Incoming { channel, address, nonce, input, state });
        if heard {
            self.accepted_ready(token, false, node);
        }
    }

    /// Ends the connections that have not shown in time who they are.
    pub(super) fn end_late_strangers(&mut self, now: Instant) {
        for token in self.lobby.take_late(now) {
            self.incoming.remove(&token);
        }
        let due = self.strangers_told.is_none_or(|at| now.duration_since(at) > STRANGERS_EVERY);
        if due && self.lobby.turned_away > 0 {
            self.strangers_told = Some(now);
            let count = std::mem::take(&mut self.lobby.turned_away);
            self.logger.warn(&format!(
                "{count} connections to the quorum port were closed: they did not say who they are"
            ));
        }
    }

    /// What a member has dialled before is of the past.
    pub(super) fn forget_incoming(&mut self, id: u8) {
        self.incoming.retain(|_, incoming| !incoming.is_of(id));
    }

    /// An accepted connection has something to say.
    pub(super) fn accepted_ready(&mut self, token: usize, hangup: bool, node: &mut Node) {
        let Some(mut incoming) = self.incoming.remove(&token) else { return };
        let outcome = self.advance_accepted(&mut incoming, hangup, node);
        let silent = !matches!(incoming.state, Accepted::Up { .. });
        if !silent || !matches!(outcome, Ok(true)) {
            self.lobby.leave(token);
        }
        match outcome {
            Ok(true) => {
                self.incoming.insert(token, incoming);
            }
            Ok(false) => {}
            Err(why) => self.tell_of_stranger(incoming.address, silent, &why),
        }
    }

    /// One line for many: whoever reaches the port could fill the log.
    fn tell_of_stranger(&mut self, address: SocketAddr, stranger: bool, why: &str) {
        let now = Instant::now();
        if stranger && self.strangers_told.is_some_and(|at| now - at < STRANGERS_EVERY) {
            self.lobby.turned_away += 1;
            return;
        }
        if stranger {
            self.strangers_told = Some(now);
        }
        self.logger.warn(&format!("a connection from {address} to the quorum port: {why}"));
    }

    /// `false`: it has ended.
    fn advance_accepted(
        &mut self,
        incoming: &mut Incoming,
        hangup: bool,
        node: &mut Node,
    ) -> Result<bool, String> {
        loop {
            let Incoming { channel, input, .. } = incoming;
            let (open, more) = match channel.read(&mut self.buffer, input) {
                Ok(Read::Some) => (true, true),
                // The end may stand behind the last bytes; no event tells it again.
                Ok(Read::Last) => (true, hangup),
                // What the handshake has brought may be all.
                Ok(Read::Nothing) => (true, false),
                Ok(Read::End) => (false, false),
                Err(e) if matches!(incoming.state, Accepted::Up { .. }) => {
                    drop(e); // who dialled notices and dials again
                    return Ok(false);
                }
                Err(e) => return Err(e.to_string()),
            };
            if !matches!(incoming.state, Accepted::Up { .. }) {
                self.hear_stranger(incoming, node)?;
            }
            if let Accepted::Up { member, opener, messages } = &mut incoming.state {
                hear_member(*member, opener, &mut incoming.input, messages, node)?;
            }
            if !more {
                return Ok(open);
            }
        }
    }

    fn hear_stranger(&mut self, incoming: &mut Incoming, node: &mut Node) -> Result<(), String> {
        while let Some(frame) = take_frame(&mut incoming.input)? {
            match &incoming.state {
                Accepted::Silent => self.challenge(incoming, &frame)?,
                Accepted::Challenged { .. } => {
                    self.introduce(incoming, &frame, node)?;
                    return Ok(()); // what follows is no frame of the handshake
                }
                Accepted::Up { .. } => return Ok(()),
            }
        }
        Ok(())
    }

    /// The first frame: which secret the other one uses.
    fn challenge(&mut self, incoming: &mut Incoming, opening: &[u8]) -> Result<(), String> {
        let (theirs, key) = peer_auth::opened(&self.ring, Port::Quorum, opening)
            .map_err(|error| error.to_string())?;
        if key.is_none() && !self.listed.contain(incoming.address.ip()) {
            return Err("there is no `coordinator.secretFile`, and the server list does not have \
                        this address"
                .to_owned());
        }
        let challenge = peer_auth::challenge(&key, Port::Quorum, &theirs, &incoming.nonce);
        write_whole(&mut incoming.channel, &challenge).map_err(|e| e.to_string())?;
        incoming.state = Accepted::Challenged { theirs, key };
        Ok(())
    }

    /// The third frame: who the other one is.
    fn introduce(
        &mut self,
        incoming: &mut Incoming,
        answer: &[u8],
        node: &mut Node,
    ) -> Result<(), String> {
        let Accepted::Challenged { theirs, key } = &incoming.state else { return Ok(()) };
        let nonce = &incoming.nonce;
        let (hello, features) = peer_auth::check_answer(key, Port::Quorum, theirs, nonce, answer)
            .map_err(|error| error.to_string())?;
        let verdict =
            node.check_hello(&hello).and_then(|()| match (&self.tls, incoming.channel.tls()) {
                (Some((tls, _)), Some(session)) => {
                    tls.check_dialler(session, hello.id, incoming.address.ip())
                }
                _ => Ok(()),
            });
        let mine = node.hello();
        let told = verdict.as_ref().map(|()| &mine).map_err(String::as_str);
        let welcome = peer_auth::welcome(key, Port::Quorum, theirs, nonce, told);
        write_whole(&mut incoming.channel, &welcome).map_err(|e| e.to_string())?;
        verdict.map_err(|why| format!("server {} is refused: {why}", hello.id))?;
        let member = hello.id;
        // One connection a member: what an earlier one still holds is of the past.
        self.forget_incoming(member);
        let opener = key.opener(Port::Quorum, (theirs, nonce), false, features);
        let messages = Vec::new();
        let authenticated = !key.is_none();
        incoming.state = Accepted::Up { member, opener, messages };
        // Whoever just came up may be dialled at once, also where it is now: a member that was
        // replaced by another host is met before the server lists have its new address.
        if let Some(member) = self.members.get_mut(&member)
            && matches!(member.link, Dialled::Waiting | Dialled::Connecting { .. })
        {
            if authenticated {
                member.also_at(incoming.address.ip());
            }
            // A connection on its way may wait long for its next try.
            member.link = Dialled::Waiting;
            member.retry_at = Instant::now();
            member.retry_after = RETRY_FIRST;
        }
        Ok(())
    }
}

/// Records of a member, and the messages in them.
fn hear_member(
    member: u8,
    opener: &mut Opener,
    input: &mut Vec<u8>,
    messages: &mut Vec<u8>,
    node: &mut Node,
) -> Result<(), String> {
    let endless = || format!("server {member} sent a frame without end");
    let mut hear = |message: &[u8]| node.peer_message(member, message);
    let mut taken = 0;
    while let Some((payload, bytes)) =
        opener.open(&mut input[taken..]).map_err(|error| format!("server {member}: {error}"))?
    {
        // Most records hold whole messages, which are taken where they stand.
        if messages.is_empty() {
            let used = split_frames(payload, &mut hear).ok_or_else(endless)?;
            messages.extend_from_slice(&payload[used..]);
        } else {
            messages.extend_from_slice(payload);
            let used = split_frames(messages, &mut hear).ok_or_else(endless)?;
            drain(messages, used);
        }
        taken += bytes;
    }
    drain(input, taken);
    let most = peer::MESSAGE_BYTES_MAX + RECORD_BYTES_MAX;
    if messages.len() > most || input.len() > RECORD_BYTES_MAX + READ_BYTES {
        return Err(format!("server {member} sent too much at once"));
    }
    Ok(())
}
