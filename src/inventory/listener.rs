//! Where a broker listens, as Kafka writes it.

use crate::inventory::scalar::{self, Wrong};

/// `PLAINTEXT://10.0.0.11:9092`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    /// In brackets where it is an IPv6 address; empty: the default interface.
    pub host: String,
    pub port: u16,
}

impl Listener {
    /// Several, as Kafka writes them: with commas.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Wrong> {
        let wrong = |why: String| Wrong {
            message: why,
            hint: Some("such as PLAINTEXT://10.0.0.11:9092".to_owned()),
        };
        let mut listeners: Vec<Self> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let listener = Self::parse(part)
                .ok_or_else(|| wrong(format!("`{}` is no listener", part.escape_debug())))?;
            if listeners.iter().any(|other| other.name == listener.name) {
                return Err(wrong(format!("two listeners have the name {}", listener.name)));
            }
            if listeners.iter().any(|other| other.port == listener.port) {
                return Err(wrong(format!("two listeners have the port {}", listener.port)));
            }
            listeners.push(listener);
        }
        Ok(listeners)
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once("://")?;
        let (host, port) = rest.rsplit_once(':')?;
        let named = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let hosted = match bare {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
        };
        let port = scalar::number(port, true, 1, 65535).ok()?;
        (named && hosted).then(|| Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port: u16::try_from(port).unwrap_or_default(),
        })
    }

    /// Whether it listens everywhere, so that its text tells clients nothing.
    pub(super) fn everywhere(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "[::]")
    }

    pub(super) fn at(&self, host: &str) -> String {
        format!("{}://{host}:{}", self.name, self.port)
    }
}
