//! Telling systemd that the server is ready, or stopping (`sd_notify(3)`).

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state to the service manager; without one it does nothing.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let bytes = path.as_encoded_bytes();
    let sent = if let Some(name) = bytes.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        SocketAddr::from_abstract_name(name)
            .and_then(|address| socket.send_to_addr(state.as_bytes(), &address))
    } else {
        socket.send_to(state.as_bytes(), &path)
    };
    // Nothing depends on it: systemd waits and then says that readiness never came.
    drop(sent);
}
