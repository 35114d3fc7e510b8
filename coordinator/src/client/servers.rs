//! Connect strings: `host:port,host:port/chroot`.

use std::fmt;

use super::Error;

const PORT_DEFAULT: u16 = 2181;

/// Servers in the order they were named, and the path all others are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// `host:port`, IPv6 addresses in brackets.
    addresses: Vec<String>,
    /// Empty, or a path without a slash at its end.
    chroot: String,
}

impl Servers {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why| Err(Error::ConnectString { text: text.to_owned(), why });
        let (hosts, chroot) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot };
        if chroot.ends_with('/') || chroot.contains("//") {
            return refuse("the path behind the servers is not a path of a znode");
        }
        let mut addresses = Vec::new();
        for host in hosts.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            let (name, port) = split_port(host);
            match port.map(str::parse::<u16>) {
                None => addresses.push(format!("{name}:{PORT_DEFAULT}")),
                Some(Ok(port)) if port > 0 => addresses.push(format!("{name}:{port}")),
                Some(_) => return refuse("a port is not a number from 1 to 65535"),
            }
            if name.is_empty() || name == "[]" {
                return refuse("a host name is empty");
            }
        }
        if addresses.is_empty() {
            return refuse("expected HOST:PORT[,HOST:PORT...][/CHROOT]");
        }
        Ok(Self { addresses, chroot: chroot.to_owned() })
    }

    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub fn chroot(&self) -> &str {
        &self.chroot
    }

    /// Puts another path in the place of the chroot and returns the old one.
    pub(super) fn replace_chroot(&mut self, chroot: String) -> String {
        std::mem::replace(&mut self.chroot, chroot)
    }

    /// The path the server knows.
    pub fn full_path(&self, path: &str) -> String {
        match (self.chroot.as_str(), path) {
            ("", path) => path.to_owned(),
            (chroot, "/") => chroot.to_owned(),
            (chroot, path) => format!("{chroot}{path}"),
        }
    }

    /// The path the caller knows; one outside of the chroot stays as it is.
    pub fn local_path<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(self.chroot.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.addresses.join(","), self.chroot)
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address, which gets its brackets.
fn split_port(host: &str) -> (String, Option<&str>) {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        let (name, rest) = host.split_at(end + 2);
        return (name.to_owned(), rest.strip_prefix(':'));
    }
    match host.split_once(':') {
        Some((_, rest)) if rest.contains(':') => (format!("[{host}]"), None),
        Some((name, port)) => (name.to_owned(), Some(port)),
        None => (host.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings() {
        let cases = [
            ("a:1", "a:1"),
            ("a", "a:2181"),
            ("a:1,b:2/kafka", "a:1,b:2/kafka"),
            ("a:1, b:2,", "a:1,b:2"),
            ("a:1/", "a:1"),
            ("[::1]:7", "[::1]:7"),
            ("::1", "[::1]:2181"),
            ("", "error"),
            (",", "error"),
            ("a:0", "error"),
            ("a:x", "error"),
            (":1", "error"),
            ("a:1/b/", "error"),
            ("a:1//b", "error"),
        ];
        for (text, expected) in cases {
            let got =
                Servers::parse(text).map_or("error".to_owned(), |servers| servers.to_string());
            assert_eq!(got, expected, "of `{text}`");
        }
    }

    #[test]
    fn chroot_is_put_on_and_taken_off() {
        let servers = Servers::parse("a:1/kafka").unwrap();
        for (local, full) in [("/", "/kafka"), ("/x", "/kafka/x")] {
            assert_eq!(servers.full_path(local), full);
            assert_eq!(servers.local_path(full), local);
        }
        assert_eq!(servers.local_path("/kafkaesque"), "/kafkaesque");
    }
}
