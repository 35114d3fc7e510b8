//! The threads that make handshakes of TLS, by what the configuration says.

use std::sync::Arc;

use mio::Waker;

use super::addresses::ListedAddresses;
use super::logging::Logger;
use super::peer_tls::PeerTls;
use super::serve::{Failure, bind_for_clients, bind_for_members, client_listen};
use super::stores::Stores;
use super::tls_port::{self, Crowd, Port, TlsPorts};
use crate::config::{Config, HttpPort};
use crate::tls::missing_features;

/// The place of the port where clients with TLS and without come in; the secure one is behind it.
pub(super) const UNIFIED: usize = 0;

fn demand_features(keys: &str) -> Result<(), Failure> {
    let missing = missing_features();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "cannot serve TLS: this CPU lacks {}; remove {keys}, or move to a machine with a CPU of 2015 \
         or later whose features the hypervisor passes on",
        missing.join(", ")
    ))
}

/// Starts the thread for clients, where there is a port for it.
pub(super) fn clients(
    config: &Config,
    waker: Arc<Waker>,
    logger: Logger,
) -> Result<Option<TlsPorts>, Failure> {
    let Some(tls) = &config.client_tls else { return Ok(None) };
    demand_features("secureClientPort and client.portUnification")?;
    let unified = if tls.unified { client_listen(config) } else { None };
    let unified = unified.map(|listen| bind_for_clients(&listen, "client port")).transpose()?;
    let secure = tls.listen.as_ref();
    let secure = secure.map(|listen| bind_for_clients(listen, "secure client port")).transpose()?;
    if let Some((_, address)) = &unified {
        logger.info(&format!("listening to clients with TLS and without on {address}"));
    }
    if let Some((_, address)) = &secure {
        logger.info(&format!("listening to clients with TLS on {address}"));
    }
    let ports = vec![
        Port { listener: unified.map(|(listener, _)| listener), plain_too: true },
        Port { listener: secure.map(|(listener, _)| listener), plain_too: false },
    ];
    let stores = Stores::open("clients", tls.stores.clone(), false, logger)?;
    tls_port::start("clients", stores, ports, Crowd::of_clients(), waker, logger).map(Some)
}

/// What members speak TLS with.
pub(super) fn members(config: &Config, logger: Logger) -> Result<Option<PeerTls>, Failure> {
    let Some(tls) = &config.quorum_tls else { return Ok(None) };
    demand_features("sslQuorum and portUnification")?;
    let peer_tls = PeerTls::open(tls, logger)?;
    peer_tls.set_hosts(&config.servers);
    Ok(Some(peer_tls))
}

/// Starts the thread for the quorum port.
pub(super) fn quorum_port(
    config: &Config,
    tls: &PeerTls,
    listed: ListedAddresses,
    waker: Arc<Waker>,
    logger: Logger,
) -> Result<TlsPorts, Failure> {
    let besides = if tls.plain_too { " and without" } else { "" };
    let mut ports = Vec::new();
    for (listener, address) in bind_for_members(config, logger)? {
        logger.info(&format!("listening for members with TLS{besides} on {address}"));
        ports.push(Port { listener: Some(listener), plain_too: tls.plain_too });
    }
    let crowd = Crowd::of_members(listed);
    tls_port::start("the quorum port", tls.stores(), ports, crowd, waker, logger)
}

/// The stores of a port for operators, and whether it takes plain HTTP as well.
pub(super) fn http(
    what: &'static str,
    port: &HttpPort,
    logger: Logger,
) -> Result<Option<(Stores, bool)>, Failure> {
    let Some(tls) = &port.tls else { return Ok(None) };
    demand_features("the keys of HTTPS")?;
    let stores = Stores::open(what, tls.stores.clone(), false, logger)?;
    Ok(Some((stores, tls.plain_too)))
}
