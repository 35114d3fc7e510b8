//! TLS on the ports of clients and of members: `secureClientPort`, `sslQuorum` and the `ssl.*` keys,
//! by Java's names.

use super::Listen;
use super::entries::{Entries, Result};
use super::store_file::StoreFile;
use crate::tls::{ClientAuth, PROTOCOLS, Settings, all_suites, suites};

/// What stands behind `secureClientPort` or `client.portUnification`.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The port that speaks TLS alone.
    pub listen: Option<Listen>,
    /// `clientPort` speaks both: the first byte decides.
    pub unified: bool,
    pub stores: TlsStores,
}

/// What handshakes are made with.
#[derive(Clone, Debug)]
pub struct TlsStores {
    pub settings: Settings,
    pub key_store: StoreFile,
    /// Needed only where others show certificates.
    pub trust_store: Option<StoreFile>,
}

/// What stands behind `sslQuorum` and `portUnification`.
#[derive(Clone, Debug)]
pub struct QuorumTls {
    /// This server speaks TLS where it dials.
    pub dials: bool,
    /// Members without TLS may come, too.
    pub plain_too: bool,
    /// A certificate must be for the member that shows it.
    pub names_of_diallers: bool,
    pub names_of_dialled: bool,
    pub stores: TlsStores,
}

impl QuorumTls {
    /// Nobody is a member without a certificate.
    pub fn is_mutual(&self) -> bool {
        self.dials && !self.plain_too && self.stores.settings.client_auth == ClientAuth::Need
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
        let stores = self.tls_stores("ssl", None)?;
        Ok(Some(ClientTls { listen, unified, stores }))
    }

    /// As `QuorumPeer` reads them: who speaks TLS and who may go without.
    pub(super) fn quorum_tls(&mut self, standalone: bool) -> Result<Option<QuorumTls>> {
        let dials = self.switch("sslQuorum", false)?;
        let unified = self.switch("portUnification", false)?;
        let names = self.switch("ssl.quorum.hostnameVerification", true)?;
        let names_of_diallers = self.switch("ssl.quorum.clientHostnameVerification", names)?;
        if standalone || !(dials || unified) {
            for key in ["sslQuorum", "portUnification"] {
                if self.switch(key, false)? {
                    self.warn(key, "has no effect on a standalone server".to_owned());
                }
            }
            return Ok(None);
        }
        let stores = self.tls_stores("ssl.quorum", None)?;
        if stores.trust_store.is_none() {
            return Err(self.error(
                "ssl.quorum.trustStore.location",
                "is missing, and members are believed by it",
                "name a store with the certificates to trust",
            ));
        }
        Ok(Some(QuorumTls {
            dials,
            plain_too: unified,
            names_of_diallers,
            names_of_dialled: names,
            stores,
        }))
    }

    /// What the keys with this prefix say. `asked`: other keys say what certificates are asked for.
    pub(super) fn tls_stores(
        &mut self,
        prefix: &str,
        asked: Option<ClientAuth>,
    ) -> Result<TlsStores> {
        let mut settings = self.tls_settings(prefix)?;
        settings.client_auth = asked.unwrap_or(settings.client_auth);
        let Some(key_store) = self.store(prefix, "keyStore")? else {
            return Err(self.error(
                &format!("{prefix}.keyStore.location"),
                "is missing, and TLS needs it",
                "name a store with this server's key and certificate: JKS, PKCS#12 or PEM",
            ));
        };
        let trust_store = self.store(prefix, "trustStore")?;
        if trust_store.is_none() && settings.client_auth != ClientAuth::None {
            return Err(self.error(
                &format!("{prefix}.trustStore.location"),
                "is missing, and others show certificates",
                "name a store with the certificates to trust, or ask for none",
            ));
        }
        Ok(TlsStores { settings, key_store, trust_store })
    }

    /// Protocols, suites and what is asked of clients, of the keys with this prefix.
    pub(super) fn tls_settings(&mut self, prefix: &str) -> Result<Settings> {
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
}
