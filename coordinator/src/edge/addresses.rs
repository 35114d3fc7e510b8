//! The addresses of the server list, as far as their names resolve: without a secret they are all that
//! says who is a member.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

/// Shared by the threads that accept connections of members.
#[derive(Clone, Default)]
pub(super) struct ListedAddresses(Arc<RwLock<BTreeMap<u8, Vec<IpAddr>>>>);

impl ListedAddresses {
    /// What the host of a member means now.
    pub(super) fn set(&self, member: u8, addresses: &[(SocketAddr, String)]) {
        let addresses = addresses.iter().map(|(address, _)| address.ip().to_canonical()).collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(member, addresses);
    }

    /// Whoever has left the list is no member any more.
    pub(super) fn keep(&self, is_member: impl Fn(u8) -> bool) {
        let mut listed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        listed.retain(|&member, _| is_member(member));
    }

    /// The one member that is found at this address, if it is one.
    pub(super) fn whose(&self, ip: IpAddr) -> Option<u8> {
        let ip = ip.to_canonical();
        let listed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = listed.iter().filter(|(_, addresses)| addresses.contains(&ip));
        let (&member, _) = at.next()?;
        at.next().is_none().then_some(member)
    }

    pub(super) fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let listed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        listed.values().any(|addresses| addresses.contains(&ip))
    }
}
