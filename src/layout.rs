//! Where things stand on a host: the account, the units, and every path that zkprov writes to.

/// Account of brokers and of the release, as the tutorial names it; of coordinators too, where they were
/// installed before they had one of their own.
pub const ACCOUNT: &str = "kafka";
/// Account of coordinators: a broker cannot read the ensemble's secret, nor change its data.
pub const COORDINATOR_ACCOUNT: &str = "coordinator";
pub const UNIT: &str = "zookeeper.service";
pub const UNIT_FILE: &str = "/etc/systemd/system/zookeeper.service";
pub const CONFIG_DIR: &str = "/etc/kafka";
pub const CONFIG_FILE: &str = "/etc/kafka/zookeeper.properties";
pub const SECRET_FILE: &str = "/etc/kafka/coordinator.secret";
/// A member's own key with its certificate, and a broker's.
pub const KEY_STORE: &str = "/etc/kafka/coordinator.pem";
pub const BROKER_KEY_STORE: &str = "/etc/kafka/broker.pem";
/// Whose certificates are believed.
pub const TRUST_STORE: &str = "/etc/kafka/ca.pem";
/// Users and passwords of SASL: the server's, and the one of the broker.
pub const LOGIN_FILE: &str = "/etc/kafka/coordinator.jaas";
pub const BROKER_LOGIN_FILE: &str = "/etc/kafka/broker.jaas";
/// By which the tool on a host gets into a secured server.
pub const CLIENT_CONFIG: &str = "/etc/kafka/client.properties";
pub const BROKER_UNIT: &str = "kafka.service";
pub const BROKER_UNIT_FILE: &str = "/etc/systemd/system/kafka.service";
pub const BROKER_CONFIG_FILE: &str = "/etc/kafka/server.properties";
/// Kernel settings, applied at boot.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/60-zkprov.conf";
/// Where binaries live, one file per digest.
pub const BINARY_DIR: &str = "/usr/local/lib/zkprov";
/// The name under which the current one is run.
pub const BINARY: &str = "/usr/local/lib/zkprov/coordinator";
/// What stands before a line of `/etc/fstab` that zkprov has put out of action; `destroy` finds the
/// lines by it.
pub const SWAP_LINE_PREFIX: &str = "#zkprov# ";
/// Where a host keeps what its services ran before.
pub const STATE_DIR: &str = "/var/lib/zkprov";

/// The socket on which a coordinator takes operators' commands.
pub fn admin_socket(data_dir: &str) -> String {
    format!("{data_dir}/coordinator/admin.sock")
}
