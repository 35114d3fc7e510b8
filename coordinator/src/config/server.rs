//! `server.N`: where a member of the ensemble is found.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Does a member vote?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerType {
    Participant,
    Observer,
}

impl fmt::Display for PeerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerType::Participant => "participant",
            PeerType::Observer => "observer",
        })
    }
}

/// The most addresses of one member.
const ADDRESSES_MAX: usize = 8;

/// Where a member is reached on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// Replication traffic of the peers.
    pub quorum_port: u16,
    /// Bulk transfers of the peers, so that a snapshot never delays a heartbeat.
    pub election_port: u16,
}

/// One `server.N` line, `ADDRESS[|ADDRESS]…[:role][;[clientHost:]clientPort]`, where an `ADDRESS` is
/// `host:quorumPort:electionPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// At least one; they are tried in this order.
    pub addresses: Vec<PeerAddress>,
    pub role: PeerType,
    /// What stands behind the `;`, if anything.
    pub client: Option<Listen>,
}

impl Server {
    /// The one that stands for the member where there is room for one.
    pub fn first(&self) -> &PeerAddress {
        &self.addresses[0]
    }

    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(|address| address.host.as_str())
    }

    /// Hosts and ports for replication traffic.
    pub fn quorum_addresses(&self) -> Vec<(String, u16)> {
        self.addresses.iter().map(|at| (at.host.clone(), at.quorum_port)).collect()
    }

    /// Hosts and ports for bulk transfers.
    pub fn election_addresses(&self) -> Vec<(String, u16)> {
        self.addresses.iter().map(|at| (at.host.clone(), at.election_port)).collect()
    }

    /// Is a host a wildcard address, which only the server itself can make sense of?
    pub fn is_wildcard(&self) -> bool {
        self.hosts().any(is_wildcard)
    }

    /// Where the server listens for its peers' replication traffic.
    pub fn quorum_listen(&self, all_addresses: bool) -> Vec<Listen> {
        listens(self.quorum_addresses(), all_addresses)
    }

    /// Where the server listens for its peers' bulk transfers.
    pub fn election_listen(&self, all_addresses: bool) -> Vec<Listen> {
        listens(self.election_addresses(), all_addresses)
    }

    /// Parses the value; the error says what is wrong with it.
    pub(crate) fn parse(value: &str) -> Result<Server, String> {
        let (peers, client) = match value.split_once(';') {
            Some((peer, client)) => (peer.trim(), Some(Listen::parse(client.trim())?)),
            None => (value, None),
        };
        let (mut addresses, mut role) = (Vec::new(), None);
        for peer in peers.split('|') {
            let (address, named) = address(peer.trim())?;
            if addresses.contains(&address) {
                return Err(format!("the address `{}` is there twice", peer.trim()));
            }
            addresses.push(address);
            if named.is_some() && role.is_some() && named != role {
                return Err("its addresses have different roles".to_owned());
            }
            role = role.or(named);
        }
        if addresses.len() > ADDRESSES_MAX {
            return Err(format!("{} addresses, at most {ADDRESSES_MAX} are used", addresses.len()));
        }
        Ok(Server { addresses, role: role.unwrap_or(PeerType::Participant), client })
    }
}

/// `host:quorumPort:electionPort[:role]`.
fn address(peer: &str) -> Result<(PeerAddress, Option<PeerType>), String> {
    let (host, rest) = split_host(peer)?;
    let mut parts = rest.split(':').map(str::trim);
    let quorum_port = port(parts.next(), "quorum")?;
    let election_port = port(parts.next(), "election")?;
    let role = match parts.next().map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("participant") => Some(PeerType::Participant),
        Some("observer") => Some(PeerType::Observer),
        Some(other) => {
            return Err(format!("role `{other}` is neither participant nor observer"));
        }
    };
    if let Some(extra) = parts.next() {
        return Err(format!("`{extra}` after the role is not understood"));
    }
    if quorum_port == election_port {
        return Err(format!("quorum and election port are both {quorum_port}"));
    }
    Ok((PeerAddress { host: host.to_owned(), quorum_port, election_port }, role))
}

/// Each of the addresses, or their ports on all addresses of the machine.
fn listens(addresses: Vec<(String, u16)>, all_addresses: bool) -> Vec<Listen> {
    let mut listens: Vec<Listen> = Vec::new();
    for (host, port) in addresses {
        let host = (!all_addresses && !is_wildcard(&host)).then_some(host);
        let listen = Listen { host, port };
        if !listens.contains(&listen) {
            listens.push(listen);
        }
    }
    listens
}

impl fmt::Display for Server {
    /// The line as `conf` and `/zookeeper/config` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.addresses.iter().enumerate() {
            let PeerAddress { host, quorum_port, election_port } = address;
            let before = if at == 0 { "" } else { "|" };
            write!(f, "{before}{}:{quorum_port}:{election_port}", Bracketed(host))?;
        }
        write!(f, ":{}", self.role)?;
        match &self.client {
            Some(listen) => write!(f, ";{listen}"),
            None => Ok(()),
        }
    }
}

/// An address to listen on; no host means all addresses of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub host: Option<String>,
    pub port: u16,
}

impl Listen {
    /// The addresses to bind, best first: without a host both families through `[::]`, and IPv4
    /// alone where the machine has no IPv6.
    pub fn candidates(&self) -> std::io::Result<Vec<SocketAddr>> {
        match &self.host {
            Some(host) => Ok((host.as_str(), self.port).to_socket_addrs()?.collect()),
            None => Ok(vec![
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port)),
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)),
            ]),
        }
    }

    fn parse(text: &str) -> Result<Listen, String> {
        if !text.contains(':') {
            return Ok(Listen { host: None, port: port(Some(text), "client")? });
        }
        let (host, rest) = split_host(text)?;
        let host = (!is_wildcard(host)).then(|| host.to_owned());
        Ok(Listen { host, port: port(Some(rest), "client")? })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or("0.0.0.0");
        write!(f, "{}:{}", Bracketed(host), self.port)
    }
}

/// A host as it stands before a port.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

pub(super) fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn split_host(text: &str) -> Result<(&str, &str), String> {
    let split = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').and_then(|(host, rest)| {
            host.parse::<Ipv6Addr>().ok()?;
            Some((host, rest.strip_prefix(':')?))
        }),
        None => text.split_once(':'),
    };
    match split {
        Some((host, rest)) if !host.trim().is_empty() => Ok((host.trim(), rest)),
        _ => Err("a host, a colon and ports were expected (IPv6 addresses in brackets)".to_owned()),
    }
}

fn port(text: Option<&str>, which: &str) -> Result<u16, String> {
    let Some(text) = text else { return Err(format!("the {which} port is missing")) };
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!("{which} port `{text}` is not a number from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}
