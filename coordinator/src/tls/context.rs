//! From stores and settings to what handshakes are made with.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::certificate::Certificate;
use super::provider::provider;
use super::session::Session;
use super::store::Store;
use super::verify::{Names, Verifier};

/// What a server asks of its clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Want,
    Need,
}

/// How handshakes are made, apart from the stores.
#[derive(Clone, Debug)]
pub struct Settings {
    pub protocols: Vec<&'static SupportedProtocolVersion>,
    /// In the order of preference; `None`: all there are.
    pub suites: Option<Vec<SupportedCipherSuite>>,
    pub client_auth: ClientAuth,
}

/// The server's side, made anew when a store changes.
#[derive(Clone)]
pub struct Context {
    config: Arc<ServerConfig>,
    client_auth: ClientAuth,
}

impl Context {
    /// The error says which store lacks what.
    pub fn new(settings: &Settings, key: Store, trust: Option<Store>) -> Result<Context, String> {
        let mut crypto = (*provider()).clone();
        if let Some(suites) = &settings.suites {
            crypto.cipher_suites.clone_from(suites);
        }
        let crypto = Arc::new(crypto);
        let own = Arc::new(SingleCertAndKey::from(own_certificate(key)?));
        let builder = ServerConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(&settings.protocols)
            .map_err(|error| format!("no cipher suite fits the protocols: {error}"))?;
        let builder = match settings.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            auth => {
                let mandatory = auth == ClientAuth::Need;
                let anchors = anchors(trust)?;
                let verifier = Verifier::new(anchors, &crypto, mandatory, Names::Ignored);
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(own);
        // A session that is resumed would bring an identity back which the trust store no longer knows.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Context { config: Arc::new(config), client_auth: settings.client_auth })
    }

    /// A connection that was accepted.
    pub fn accept(&self) -> Result<Session, String> {
        let connection = ServerConnection::new(self.config.clone()).map_err(|e| e.to_string())?;
        Ok(Session::new(connection.into()))
    }

    pub fn client_auth(&self) -> ClientAuth {
        self.client_auth
    }
}

fn own_certificate(store: Store) -> Result<CertifiedKey, String> {
    let (key, chain) = store.key.ok_or("the key store has no private key")?;
    let leaf = chain.first().ok_or("the key store has no certificate for its key")?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("the key cannot be used: {error} (RSA of 2048 bits or more, ECDSA P-256 or P-384, and Ed25519 can)"))?;
    let parsed = Certificate::parse(leaf).ok_or("the certificate cannot be read")?;
    if key.public_key().is_some_and(|public| public.as_ref() != parsed.key_info) {
        return Err("the private key does not belong to the certificate".to_owned());
    }
    Ok(CertifiedKey::new(chain, key))
}

fn anchors(trust: Option<Store>) -> Result<Vec<CertificateDer<'static>>, String> {
    let anchors = trust.map(|store| store.trusted).unwrap_or_default();
    if anchors.is_empty() {
        return Err("the trust store holds no trusted certificate (one made by openssl needs `-jdktrust anyExtendedKeyUsage` for Java to see it)".to_owned());
    }
    Ok(anchors)
}

/// The client's side: whom to trust, who to be, and whether names count.
pub struct Dialler {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dialler")
    }
}

/// What a client needs to open connections.
pub fn client_config(
    protocols: &[&'static SupportedProtocolVersion],
    key: Option<Store>,
    trust: Store,
    names: Names,
) -> Result<Dialler, String> {
    let crypto = provider();
    let verifier = Verifier::new(anchors(Some(trust))?, &crypto, true, names);
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(protocols)
        .map_err(|error| format!("no cipher suite fits the protocols: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match key {
        None => builder.with_no_client_auth(),
        Some(store) => {
            let own: Arc<dyn ResolvesClientCert> =
                Arc::new(SingleCertAndKey::from(own_certificate(store)?));
            builder.with_client_cert_resolver(own)
        }
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Dialler { config: Arc::new(config) })
}

impl Dialler {
    /// A connection to this host, a name or an address.
    pub fn dial(&self, host: &str) -> Result<Session, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate could hold"))?;
        let connection =
            ClientConnection::new(self.config.clone(), name).map_err(|e| e.to_string())?;
        Ok(Session::new(connection.into()))
    }
}
