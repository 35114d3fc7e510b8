//! TLS on the ports of clients: `secureClientPort` and the `ssl.*` keys, by Java's names.

use std::fmt;
use std::path::PathBuf;

use super::Listen;
use super::entries::{Entries, Result};
use crate::tls::{ClientAuth, PROTOCOLS, Settings, all_suites, suites};

/// What stands behind `secureClientPort` or `client.portUnification`.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The port that speaks TLS alone.
    pub listen: Option<Listen>,
    /// `clientPort` speaks both: the first byte decides.
    pub unified: bool,
    pub settings: Settings,
    pub key_store: StoreFile,
    /// Needed only where clients show certificates.
    pub trust_store: Option<StoreFile>,
}

/// Where a store lies and what opens it; both are read again when the store changes.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFile {
    pub path: PathBuf,
    pub password: Password,
}

/// What opens a store.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    Given(String),
    /// The whole file, without the line's end.
    File(PathBuf),
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Entries {
    pub(super) fn client_tls(&mut self) -> Result<Option<ClientTls>> {
        let hint = "2281 is usual; remove the key if no client shall speak TLS";
        let port = self.number_if_given("secureClientPort", 1..=u16::MAX, hint)?;
        let host = self.host("secureClientPortAddress");
        if port.is_none() && self.text("secureClientPortAddress").is_some() {
            return Err(self.error(
                "secureClientPortAddress",
                "is given without secureClientPort",
                "add secureClientPort, or remove secureClientPortAddress",
            ));
        }
        let listen = port.map(|port| Listen { host, port });
        let unified = self.switch("client.portUnification", false)?;
        if listen.is_none() && !unified {
            if self.text("ssl.keyStore.location").is_some() {
                let message = "has no effect without secureClientPort or client.portUnification";
                self.warn("ssl.keyStore.location", message.to_owned());
            }
            return Ok(None);
        }
        let settings = self.tls_settings("ssl")?;
        let Some(key_store) = self.store("ssl", "keyStore")? else {
            return Err(self.error(
                "ssl.keyStore.location",
                "is missing, and TLS needs it",
                "name a store with this server's key and certificate: JKS, PKCS#12 or PEM",
            ));
        };
        let trust_store = self.store("ssl", "trustStore")?;
        if trust_store.is_none() && settings.client_auth != ClientAuth::None {
            return Err(self.error(
                "ssl.trustStore.location",
                "is missing, and clients show certificates",
                "name a store with the certificates to trust, or set ssl.clientAuth=none",
            ));
        }
        Ok(Some(ClientTls { listen, unified, settings, key_store, trust_store }))
    }

    /// Protocols, suites and what is asked of clients, of the keys with this prefix.
    fn tls_settings(&mut self, prefix: &str) -> Result<Settings> {
        let listed = format!("{prefix}.enabledProtocols");
        let single = format!("{prefix}.protocol");
        let (key, names) = match (self.text(&listed), self.text(&single)) {
            (Some(list), _) => (listed, list),
            (None, Some(protocol)) => (single, protocol),
            (None, None) => (single, "TLSv1.2,TLSv1.3".to_owned()),
        };
        let mut protocols = Vec::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = PROTOCOLS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let Some((_, protocol)) = known else {
                return Err(self.error(
                    &key,
                    format!("`{name}` cannot be offered"),
                    "TLSv1.2 and TLSv1.3 can: everything before is broken",
                ));
            };
            protocols.push(*protocol);
        }
        let key = format!("{prefix}.ciphersuites");
        let list = self.text(&key).filter(|list| !list.is_empty());
        let mut offered = None;
        if let Some(list) = list {
            let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            let (known, others) = suites(names, &all_suites());
            if known.is_empty() {
                return Err(self.error(
                    &key,
                    "names no suite that can be offered",
                    "remove the key, or name ECDHE suites with GCM or CHACHA20",
                ));
            }
            if !others.is_empty() {
                self.warn(&key, format!("not offered: {}", others.join(", ")));
            }
            offered = Some(known);
        }
        let key = format!("{prefix}.clientAuth");
        let client_auth = match self.text(&key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("need") => ClientAuth::Need,
            Some("want") => ClientAuth::Want,
            Some("none") => ClientAuth::None,
            Some(_) => {
                return Err(self.error_value(
                    &key,
                    "is not understood",
                    "it is none, want or need",
                ));
            }
        };
        Ok(Settings { protocols, suites: offered, client_auth })
    }

    fn store(&self, prefix: &str, which: &str) -> Result<Option<StoreFile>> {
        let Some(path) = self.path(&format!("{prefix}.{which}.location")) else { return Ok(None) };
        let key = format!("{prefix}.{which}.type");
        let kind = self.text(&key).unwrap_or_default().to_ascii_uppercase();
        if !["", "JKS", "PKCS12", "PEM"].contains(&kind.as_str()) {
            return Err(self.error_value(
                &key,
                "cannot be read",
                "convert the store to PKCS12 by `keytool -importkeystore`",
            ));
        }
        let given = format!("{prefix}.{which}.password");
        let file = self.path(&format!("{given}Path"));
        let given = || Password::Given(self.text(&given).unwrap_or_default());
        let password = file.map_or_else(given, Password::File);
        Ok(Some(StoreFile { path, password }))
    }
}
