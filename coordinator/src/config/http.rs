//! The ports of operators: `admin.*` and `metricsProvider.*`, in the clear or by HTTPS.

use super::Listen;
use super::entries::{Entries, Result};
use super::tls::TlsStores;
use crate::tls::ClientAuth;

const PROMETHEUS_PROVIDER: &str =
    "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// A port that speaks HTTP.
#[derive(Clone, Debug)]
pub struct HttpPort {
    pub listen: Listen,
    /// `None`: in the clear.
    pub tls: Option<HttpTls>,
}

/// HTTPS on a port.
#[derive(Clone, Debug)]
pub struct HttpTls {
    /// The first byte decides whether TLS is spoken.
    pub plain_too: bool,
    pub stores: TlsStores,
}

/// The HTTP server that only reads.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub port: HttpPort,
    /// `/commands` unless told otherwise.
    pub command_url: String,
}

impl Entries {
    pub(super) fn admin(&mut self) -> Result<Option<AdminConfig>> {
        let enabled = self.switch("admin.enableServer", true)?;
        let port = self.number("admin.serverPort", 8080, 1..=u16::MAX)?;
        let command_url = self.text("admin.commandURL").unwrap_or_else(|| "/commands".to_owned());
        if !command_url.starts_with('/') {
            return Err(self.error_value(
                "admin.commandURL",
                "does not start with a slash",
                "write it as in /commands",
            ));
        }
        let unified = self.switch("admin.portUnification", false)?;
        let forced = self.switch("admin.forceHttps", false)?;
        let asked = self.switch("admin.needClientAuth", false)?;
        if !enabled {
            return Ok(None);
        }
        // As in `JettyAdminServer`: the stores are those between members.
        let tls = if unified || forced {
            let asked = if asked { ClientAuth::Need } else { ClientAuth::None };
            let stores = self.tls_stores("ssl.quorum", Some(asked))?;
            Some(HttpTls { plain_too: !forced, stores })
        } else {
            None
        };
        let listen = Listen { host: self.host("admin.serverAddress"), port };
        let command_url = command_url.trim_end_matches('/').to_owned();
        Ok(Some(AdminConfig { port: HttpPort { listen, tls }, command_url }))
    }

    /// Where Prometheus finds `/metrics`: one port, or one in the clear and one by HTTPS.
    pub(super) fn metrics(&mut self) -> Result<Vec<HttpPort>> {
        let hint = "7000 is usual";
        let plain = self.number_if_given("metricsProvider.httpPort", 1..=u16::MAX, hint)?;
        let secure = self.number_if_given("metricsProvider.httpsPort", 1..=u16::MAX, hint)?;
        let host = self.host("metricsProvider.httpHost");
        match self.text("metricsProvider.className").as_deref() {
            Some(PROMETHEUS_PROVIDER) => {}
            None
            | Some(
                "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"
                | "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
            ) => return Ok(Vec::new()),
            Some(other) => {
                let message = format!("`{other}` is not known: no metrics port is opened");
                self.warn("metricsProvider.className", message);
                return Ok(Vec::new());
            }
        }
        let plain = plain.or((secure.is_none()).then_some(7000));
        let mut ports = Vec::new();
        if let Some(port) = plain {
            let listen = Listen { host: host.clone(), port };
            ports.push(HttpPort { listen, tls: None });
        }
        if let Some(port) = secure {
            let needed = self.switch("metricsProvider.ssl.need.client.auth", true)?;
            let wanted = self.switch("metricsProvider.ssl.want.client.auth", true)?;
            let asked = match (needed, wanted) {
                (true, _) => ClientAuth::Need,
                (false, true) => ClientAuth::Want,
                (false, false) => ClientAuth::None,
            };
            let stores = self.tls_stores("metricsProvider.ssl", Some(asked))?;
            let tls = Some(HttpTls { plain_too: false, stores });
            ports.push(HttpPort { listen: Listen { host, port }, tls });
        }
        Ok(ports)
    }
}
