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

/// One `server.N` line, `host:quorumPort:electionPort[:role][;[clientHost:]clientPort]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// Replication traffic of the peers.
    pub quorum_port: u16,
    /// Bulk transfers of the peers, so that a snapshot never delays a heartbeat.
    pub election_port: u16,
    pub role: PeerType,
    /// What stands behind the `;`, if anything.
    pub client: Option<Listen>,
}

impl Server {
    /// Is the host a wildcard address, which only the server itself can make sense of?
    pub fn is_wildcard(&self) -> bool {
        is_wildcard(&self.host)
    }

    /// Where the server listens for its peers' replication traffic.
    pub fn quorum_listen(&self, all_addresses: bool) -> Listen {
        self.listen(all_addresses, self.quorum_port)
    }

    /// Where the server listens for its peers' bulk transfers.
    pub fn election_listen(&self, all_addresses: bool) -> Listen {
        self.listen(all_addresses, self.election_port)
    }

    fn listen(&self, all_addresses: bool, port: u16) -> Listen {
        let host = (!all_addresses && !self.is_wildcard()).then(|| self.host.clone());
        Listen { host, port }
    }

    /// Parses the value; the error says what is wrong with it.
    pub(crate) fn parse(value: &str) -> Result<Server, String> {
        if value.contains('|') {
            return Err("lists of addresses (`|`) are not supported: name one address".to_owned());
        }
        let (peer, client) = match value.split_once(';') {
            Some((peer, client)) => (peer.trim(), Some(Listen::parse(client.trim())?)),
            None => (value, None),
        };
        let (host, rest) = split_host(peer)?;
        let mut parts = rest.split(':').map(str::trim);
        let quorum_port = port(parts.next(), "quorum")?;
        let election_port = port(parts.next(), "election")?;
        let role = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("participant") => PeerType::Participant,
            Some("observer") => PeerType::Observer,
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
        Ok(Server { host: host.to_owned(), quorum_port, election_port, role, client })
    }
}

impl fmt::Display for Server {
    /// The line as `conf` and `/zookeeper/config` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { quorum_port, election_port, role, .. } = self;
        write!(f, "{}:{quorum_port}:{election_port}:{role}", Bracketed(&self.host))?;
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
