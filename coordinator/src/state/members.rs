//! The members as clients change them by `reconfig`: what a request asks for, checked in the order
//! of ZooKeeper's `PrepRequestProcessor`.
//!
//! A request that passes becomes pending. The leader then takes the servers there one by one, and
//! an entry of its own makes the list the present one, with that entry's zxid as its version.

use crate::config::{PeerAddress, PeerType, Server};
use crate::wire::code::Code;
use crate::wire::request::Reconfig;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Members by id. ZooKeeper's ids are wider than ours; what does not fit is refused last.
pub type Members = BTreeMap<i64, Server>;

/// What the ensemble has decided about its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    pub present: BTreeMap<u8, Server>,
    /// The zxid that made them present.
    pub version: i64,
    /// Asked for, and on its way.
    pub pending: Option<BTreeMap<u8, Server>>,
}

/// What the leader says of itself and its followers in the entry that carries a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `reconfigEnabled`.
    pub enabled: bool,
    /// No ensemble at all.
    pub alone: bool,
    /// `standaloneEnabled`: fewer than two voters are no ensemble.
    pub two_voters: bool,
    /// Members that are linked and have the log.
    pub synced: Vec<u8>,
}

impl Membership {
    /// Where the servers are to be taken: what is pending, else what is present.
    pub fn target(&self) -> &BTreeMap<u8, Server> {
        self.pending.as_ref().unwrap_or(&self.present)
    }

    /// The data of `/zookeeper/config`.
    pub fn text(&self) -> String {
        text(&self.present, &format!("{:x}", self.version))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        for members in std::iter::once(&self.present).chain(&self.pending) {
            let text = text(members, "");
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// All of the bytes; `None` when they are nothing that [`Membership::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let version = i64::from_le_bytes(crate::bytes::take(input)?);
        let mut lists = Vec::new();
        while !input.is_empty() {
            let len = u32::from_le_bytes(crate::bytes::take(input)?) as usize;
            let (text, rest) = input.split_at_checked(len)?;
            *input = rest;
            lists.push(read(std::str::from_utf8(text).ok()?)?);
        }
        let mut lists = lists.into_iter();
        let membership = Self { present: lists.next()?, version, pending: lists.next() };
        lists.next().is_none().then_some(membership)
    }
}

/// One line a member, and the version at the end, as `QuorumMaj.toString` has them.
pub fn text(members: &BTreeMap<u8, Server>, version: &str) -> String {
    let mut text = String::new();
    for (id, server) in members {
        let _ = writeln!(text, "server.{id}={server}");
    }
    text + "version=" + version
}

/// What [`text`] wrote.
pub fn read(text: &str) -> Option<BTreeMap<u8, Server>> {
    narrow(&bulk(text).ok()?)
}

fn narrow(members: &Members) -> Option<BTreeMap<u8, Server>> {
    members
        .iter()
        .map(|(id, server)| {
            let id = u8::try_from(*id).ok().filter(|id| (1..=254).contains(id))?;
            Some((id, server.clone()))
        })
        .collect()
}

/// The members that a request asks for, before permissions are looked at.
pub fn asked(
    membership: &Membership,
    request: &Reconfig<'_>,
    terms: &Terms,
) -> Result<Members, Code> {
    if membership.pending.is_some() {
        return Err(Code::ReconfigInProgress);
    }
    if request.config_id != -1 && request.config_id != membership.version {
        return Err(Code::BadVersion);
    }
    let next = match request.new_members {
        Some(text) => {
            let members = bulk(text)?;
            members.values().try_for_each(single)?;
            members
        }
        None => changed(membership, request)?,
    };
    let voters = |server: &&Server| server.role == PeerType::Participant;
    let count = next.values().filter(voters).count();
    if count < if terms.two_voters { 2 } else { 1 } {
        return Err(Code::BadArguments);
    }
    let synced = |id: &i64| terms.synced.iter().any(|known| i64::from(*known) == *id);
    let ready = next.iter().filter(|(id, server)| voters(server) && synced(id)).count();
    if ready * 2 <= count {
        return Err(Code::NewConfigNoQuorum);
    }
    Ok(next)
}

/// Whether all ids and hosts are such as this server can work with.
pub fn fit(members: &Members) -> Result<BTreeMap<u8, Server>, Code> {
    narrow(members).ok_or(Code::BadArguments)
}

/// A whole new list, between commas or line ends.
fn bulk(text: &str) -> Result<Members, Code> {
    let mut members = Members::new();
    for line in text.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').ok_or(Code::BadArguments)?;
        let (key, value) = (key.trim(), value.trim());
        if key == "version" {
            continue;
        }
        // Groups and weights are refused in the configuration, too.
        let id = key.strip_prefix("server.").and_then(|id| id.parse().ok());
        let server = Server::parse(value).map_err(|_| Code::BadArguments)?;
        members.insert(id.ok_or(Code::BadArguments)?, server);
    }
    Ok(members)
}

/// Several addresses come from configuration files alone: all members judge a request alike, whatever
/// their own files say of `multiAddress.enabled`.
fn single(server: &Server) -> Result<(), Code> {
    if server.addresses.len() == 1 { Ok(()) } else { Err(Code::BadArguments) }
}

/// The present list without those that leave, with those that join.
fn changed(membership: &Membership, request: &Reconfig<'_>) -> Result<Members, Code> {
    let present = membership.present.iter();
    let mut next: Members = present.map(|(id, server)| (i64::from(*id), server.clone())).collect();
    let parts = |text: Option<&'_ str>| -> Vec<String> {
        let parts = text.unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    for leaving in parts(request.leaving) {
        // A `NumberFormatException` in ZooKeeper.
        next.remove(&leaving.parse::<i64>().map_err(|_| Code::MarshallingError)?);
    }
    for joining in parts(request.joining) {
        let (name, spec) = joining.split_once('=').ok_or(Code::BadArguments)?;
        let id = name.rsplit('.').next().unwrap_or_default();
        let id = id.trim().parse::<i64>().map_err(|_| Code::MarshallingError)?;
        let server = Server::parse(spec).map_err(|_| Code::BadArguments)?;
        single(&server)?;
        if server.client.is_none() {
            return Err(Code::BadArguments);
        }
        if next.iter().any(|(other, known)| *other != id && same_address(known, &server)) {
            return Err(Code::BadArguments);
        }
        next.insert(id, server);
    }
    Ok(next)
}

/// `QuorumServer.checkAddressDuplicate`: loopback and wildcard addresses are not looked at.
fn same_address(one: &Server, other: &Server) -> bool {
    let special = |host: &str| {
        let ip = host.parse::<IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    };
    let ports = |at: &PeerAddress| [at.quorum_port, at.election_port];
    let same = |one: &PeerAddress, other: &PeerAddress| {
        one.host == other.host && ports(one).iter().any(|port| ports(other).contains(port))
    };
    let mut of_one = one.addresses.iter().filter(|at| !special(&at.host));
    of_one.any(|at| other.addresses.iter().any(|known| same(at, known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let text = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2:observer;3\nversion=5";
        Membership { present: read(text).unwrap(), version: 5, pending: None }
    }

    fn ask(
        joining: &str,
        leaving: &str,
        new: Option<&str>,
        config_id: i64,
    ) -> Result<String, Code> {
        let request = Reconfig {
            joining: Some(joining),
            leaving: Some(leaving),
            new_members: new,
            config_id,
        };
        let terms = Terms { enabled: true, alone: false, two_voters: true, synced: vec![1, 2] };
        asked(&membership(), &request, &terms).map(|members| {
            let lines = members.iter().map(|(id, server)| format!("{id}={server}"));
            lines.collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn checks_are_apaches() {
        let kept = "1=a:1:2:participant;0.0.0.0:3 2=b:1:2:participant;0.0.0.0:3";
        for (joining, leaving, new, config_id, expected) in [
            ("some thing", "", None, -1, Err(Code::BadArguments)),
            ("server.4=d:1:2", "", None, -1, Err(Code::BadArguments)),
            ("server.4=d:1:1;2", "", None, -1, Err(Code::BadArguments)),
            ("server.4=d:1:2:boss;2", "", None, -1, Err(Code::BadArguments)),
            ("server.4=b:7:2;9", "", None, -1, Err(Code::BadArguments)),
            ("server.x=d:1:2;9", "", None, -1, Err(Code::MarshallingError)),
            ("", "x", None, -1, Err(Code::MarshallingError)),
            ("", "2", None, -1, Err(Code::BadArguments)),
            ("", "3", None, 6, Err(Code::BadVersion)),
            ("", "", Some("foo=bar"), -1, Err(Code::BadArguments)),
            ("", "", Some("server.7=g:1:2;3,server.8=h:1:2;3"), -1, Err(Code::NewConfigNoQuorum)),
            ("4=d:1:2;3,5=e:1:2;3", "", None, -1, Err(Code::NewConfigNoQuorum)),
            ("", "3,77", None, -1, Ok(kept)),
            ("", "3", None, 5, Ok(kept)),
            ("", "", Some("server.2=b:1:2;3\nserver.1=a:1:2;3\nversion=9"), -1, Ok(kept)),
        ] {
            let found = ask(joining, leaving, new, config_id);
            assert_eq!(found.as_deref(), expected.as_deref(), "{joining} {leaving} {new:?}");
        }
        assert!(ask("server.999=0.0.0.0:1:2:observer;3", "", None, -1).is_ok(), "refused later");
    }

    #[test]
    fn encoding_keeps_everything() {
        let mut membership = membership();
        for pending in [None, Some(membership.present.clone())] {
            membership.pending = pending;
            let mut bytes = Vec::new();
            membership.encode(&mut bytes);
            assert_eq!(Membership::decode(&mut &bytes[..]), Some(membership.clone()));
        }
    }
}
