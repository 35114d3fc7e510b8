//! What a client needs to reach secured servers, in Apache's own client properties, as
//! `zkCli.sh -client-configuration FILE` takes them.

use std::io;
use std::path::Path;

use rustls::SupportedProtocolVersion;

use super::builder::Read;
use super::entries::{Entries, Result};
use super::error::ConfigError;
use super::store_file::StoreFile;
use crate::sasl::client_login;
use crate::tls::Names;

const PREFIX: &str = "zookeeper.ssl";
/// Beginnings of keys of which a misspelt one must not weaken a connection in silence.
const OURS: [&str; 3] = ["zookeeper.ssl.", "zookeeper.sasl.", "zookeeper.client."];
const KNOWN: [&str; 19] = [
    "zookeeper.client.secure",
    "zookeeper.sasl.client",
    "zookeeper.sasl.clientconfig",
    // Of Kerberos, which is not spoken.
    "zookeeper.sasl.client.username",
    "zookeeper.sasl.client.canonicalize.hostname",
    "zookeeper.ssl.ciphersuites",
    "zookeeper.ssl.clientAuth",
    "zookeeper.ssl.enabledProtocols",
    "zookeeper.ssl.hostnameVerification",
    "zookeeper.ssl.keyStore.location",
    "zookeeper.ssl.keyStore.password",
    "zookeeper.ssl.keyStore.passwordPath",
    "zookeeper.ssl.keyStore.type",
    "zookeeper.ssl.protocol",
    "zookeeper.ssl.trustStore.location",
    "zookeeper.ssl.trustStore.password",
    "zookeeper.ssl.trustStore.passwordPath",
    "zookeeper.ssl.trustStore.type",
    "zookeeper.ssl.fips-mode",
];

/// TLS and login of a client.
#[derive(Clone, Default)]
pub struct ClientConfig {
    /// `None`: TLS is not spoken.
    pub tls: Option<ClientStores>,
    /// User and password of SASL.
    pub login: Option<(String, String)>,
}

/// What a client's TLS is made of.
#[derive(Clone, Debug)]
pub struct ClientStores {
    pub protocols: Vec<&'static SupportedProtocolVersion>,
    /// Who the client is; `None`: it shows no certificate.
    pub key_store: Option<StoreFile>,
    pub trust_store: StoreFile,
    pub names: Names,
}

impl ClientConfig {
    /// Reads client properties, and the JAAS file that they name.
    pub fn load(path: &Path) -> Result<ClientConfig> {
        let text = std::fs::read(path).map_err(|error| ConfigError {
            file: path.to_owned(),
            line: None,
            key: None,
            message: format!("cannot read the file: {error}"),
            hint: "name a file of client properties that this user may read".to_owned(),
        })?;
        Self::parse(path, &text, &mut |file: &Path| -> io::Result<_> { std::fs::read(file) })
    }

    /// As [`ClientConfig::load`], of text; the JAAS file comes from `read`.
    pub fn parse(path: &Path, text: &[u8], read: Read<'_>) -> Result<ClientConfig> {
        let mut entries = Entries::of_client(path, text)?;
        let unknown = entries
            .iter()
            .map(|(key, _)| key)
            .find(|key| OURS.iter().any(|ours| key.starts_with(ours)) && !KNOWN.contains(key));
        if let Some(key) = unknown.map(str::to_owned) {
            let known = format!("known are {}", KNOWN.join(", "));
            return Err(entries.error(&key, "is not a key of clients", &known));
        }
        let tls = if entries.switch("zookeeper.client.secure", false)? {
            Some(entries.client_stores()?)
        } else {
            None
        };
        Ok(ClientConfig { tls, login: entries.client_login(read)? })
    }
}

impl Entries {
    fn client_stores(&mut self) -> Result<ClientStores> {
        let protocols = self.tls_settings(PREFIX)?.protocols;
        let checked = self.switch(&format!("{PREFIX}.hostnameVerification"), true)?;
        let Some(trust_store) = self.store(PREFIX, "trustStore")? else {
            return Err(self.error(
                &format!("{PREFIX}.trustStore.location"),
                "is missing, and without it no server can be believed",
                "name a store with the certificates to trust: JKS, PKCS#12 or PEM",
            ));
        };
        let key_store = self.store(PREFIX, "keyStore")?;
        let names = if checked { Names::Checked } else { Names::Ignored };
        Ok(ClientStores { protocols, key_store, trust_store, names })
    }

    fn client_login(&self, read: Read<'_>) -> Result<Option<(String, String)>> {
        let key = "java.security.auth.login.config";
        let Some(path) = self.path(key) else { return Ok(None) };
        if !self.switch("zookeeper.sasl.client", true)? {
            return Ok(None);
        }
        let section =
            self.text("zookeeper.sasl.clientconfig").unwrap_or_else(|| "Client".to_owned());
        let hint = format!(
            "its form is `{section} {{ org.apache.zookeeper.server.auth.DigestLoginModule \
             required username=\"NAME\" password=\"PASSWORD\"; }};`"
        );
        let contents = read(&path)
            .map_err(|error| self.error_value(key, format!("cannot be read: {error}"), &hint))?;
        client_login(&contents, &section)
            .map_err(|error| self.error_value(key, error.to_string(), &hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<ClientConfig, String> {
        let jaas = b"Client { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
            username=\"bob\" password=\"secret\"; };";
        ClientConfig::parse(Path::new("client.properties"), text.as_bytes(), &mut |_| {
            Ok(jaas.to_vec())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_keys_of_zkcli() {
        let config = parse(
            "zookeeper.client.secure=true\nzookeeper.clientCnxnSocket=org.apache.zookeeper.X\n\
             zookeeper.ssl.trustStore.location=/t.p12\nzookeeper.ssl.trustStore.password=x\n\
             java.security.auth.login.config=/jaas\n",
        )
        .unwrap();
        let tls = config.tls.unwrap();
        assert_eq!((tls.names, tls.key_store, tls.protocols.len()), (Names::Checked, None, 2));
        assert_eq!(config.login, Some(("bob".to_owned(), "secret".to_owned())));
        let plain = parse("zookeeper.ssl.trustStore.location=/t.p12\n").unwrap();
        assert!(plain.tls.is_none() && plain.login.is_none());
    }

    #[test]
    fn what_would_weaken_a_connection_in_silence_is_refused() {
        for (text, why) in [
            ("zookeeper.client.secure=true", "trustStore.location`: is missing"),
            ("zookeeper.ssl.keystore.location=/k", "not a key of clients"),
            ("zookeeper.client.secure=yes", "neither true nor false"),
        ] {
            let refused = parse(text).err().expect(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
