//! Addresses by meaning, not by spelling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an `address` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4-mapped IPv6 is the IPv4 address it stands for.
    Ip(IpAddr),
    /// Lower case, without a final dot.
    Name(String),
}

/// Why a text is no address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    pub message: String,
    pub hint: &'static str,
}

impl Address {
    /// Reads an address as strictly as it will be read on every host: no octal, no short forms.
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        let wrong = |why: &str, hint| Err(NoAddress { message: format!("`{text}` {why}"), hint });
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip.to_canonical()));
        }
        if text.starts_with('[') {
            return wrong("is in brackets", "write an IPv6 address without brackets");
        }
        if text.contains('%') {
            return wrong(
                "has a zone",
                "a link-local address means something else on every host; take another",
            );
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && !host.contains(':')
            && !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit())
        {
            return wrong(
                "has a port",
                "ports stand under `coordinator` (`client_port`) and `ssh` (`port`), not in the address",
            );
        }
        if text.contains('/') {
            return wrong("is not an address", "write the host's address alone, without `/…`");
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        let digits = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
        let hex =
            last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if digits(last) || hex {
            return wrong(
                "looks like an IP address and is none",
                "an IPv4 address is four plain decimal numbers from 0 to 255, without leading zeros",
            );
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return wrong(
                "is neither an IP address nor a host name",
                "a host name has letters, digits, `-` and dots",
            );
        }
        Ok(Self::Name(name))
    }

    /// Means another machine on every machine, so it cannot name a member to the others.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => {
                name == "localhost"
                    || name.ends_with(".localhost")
                    || name == "localhost.localdomain"
                    || name == "ip6-localhost"
            }
        }
    }

    /// `0.0.0.0` or `::`.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Ip(ip) if ip.is_unspecified())
    }

    /// Multicast or broadcast: nothing can listen there.
    pub fn is_for_many(&self) -> bool {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.is_multicast() || ip.is_broadcast(),
            Self::Ip(IpAddr::V6(ip)) => ip.is_multicast(),
            Self::Name(_) => false,
        }
    }

    /// `169.254.…` or `fe80:…`: reachable only by luck.
    pub fn is_link_local(&self) -> bool {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.is_link_local(),
            Self::Ip(IpAddr::V6(ip)) => ip.is_unicast_link_local(),
            Self::Name(_) => false,
        }
    }

    /// The address every VirtualBox guest has on its NAT interface.
    pub fn is_virtualbox_nat(&self) -> bool {
        *self == Self::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)))
    }
}

/// The address as it stands in `host:port`, with brackets around IPv6.
pub fn in_url(address: &str) -> String {
    if address.parse::<Ipv6Addr>().is_ok() { format!("[{address}]") } else { address.to_owned() }
}
