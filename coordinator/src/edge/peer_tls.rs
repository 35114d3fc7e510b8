//! TLS between members: what it is made with, and whether a certificate is for the member that shows
//! it. The proof by the ensemble's secret stays inside.
//!
//! A certificate must cover the host of the member's `server.N`, or the address it comes from.
//! Names are not looked up: nobody's DNS decides who is a member.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::logging::Logger;
use super::stores::{Handshaker, Stores};
use crate::config::{QuorumTls, Server};
use crate::tls::{Session, covers, subject};

/// Shared by both ports of members.
#[derive(Clone)]
pub(super) struct PeerTls {
    stores: Stores,
    /// This server speaks TLS where it dials.
    pub dials: bool,
    /// Members without TLS may still come.
    pub plain_too: bool,
    names_of_diallers: bool,
    names_of_dialled: bool,
    /// By member, what stands in its `server.N`.
    hosts: Arc<RwLock<BTreeMap<u8, Vec<String>>>>,
}

impl PeerTls {
    pub(super) fn open(tls: &QuorumTls, logger: Logger) -> Result<PeerTls, String> {
        Ok(PeerTls {
            stores: Stores::open("members", tls.stores.clone(), true, logger)?,
            dials: tls.dials,
            plain_too: tls.plain_too,
            names_of_diallers: tls.names_of_diallers,
            names_of_dialled: tls.names_of_dialled,
            hosts: Arc::default(),
        })
    }

    pub(super) fn stores(&self) -> Stores {
        self.stores.clone()
    }

    pub(super) fn handshaker(&self) -> Handshaker {
        self.stores.now()
    }

    pub(super) fn set_hosts(&self, members: &BTreeMap<u8, Server>) {
        let hosts = |server: &Server| server.hosts().map(str::to_owned).collect();
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) =
            members.iter().map(|(&id, server)| (id, hosts(server))).collect();
    }

    /// Whether what this server has dialled is the host that it meant.
    pub(super) fn check_dialled(
        &self,
        session: &Session,
        host: &str,
        ip: IpAddr,
    ) -> Result<(), String> {
        if self.names_of_dialled { check(session, &[host.to_owned()], ip) } else { Ok(()) }
    }

    /// Whether the certificate is for the member that its owner says it is.
    pub(super) fn check_dialler(
        &self,
        session: &Session,
        member: u8,
        ip: IpAddr,
    ) -> Result<(), String> {
        if !self.names_of_diallers {
            return Ok(());
        }
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let Some(hosts) = hosts.get(&member) else {
            return Err(format!("server {member} is not in this server's list of members"));
        };
        check(session, hosts, ip)
    }
}

fn check(session: &Session, hosts: &[String], ip: IpAddr) -> Result<(), String> {
    // Where none is asked for, there is none.
    let Some(certificate) = session.peer_certificate() else { return Ok(()) };
    let ip = ip.to_canonical().to_string();
    if hosts.iter().any(|host| covers(certificate, host)) || covers(certificate, &ip) {
        return Ok(());
    }
    let shown = subject(certificate).unwrap_or_default();
    let names =
        if *hosts == [ip.as_str()] { ip } else { format!("{} nor for {ip}", hosts.join(", ")) };
    Err(format!("its certificate, `{shown}`, is not for {names}"))
}
