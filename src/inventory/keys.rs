//! Every key an inventory may have, once: the reader, the JSON Schema and the documentation's test
//! all go by this table.

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// What holds when the key is left out, in words for people; empty: nothing.
    pub default: &'static str,
    pub about: &'static str,
}

/// What a key's value must look like.
#[derive(Debug)]
pub enum Kind {
    Section(&'static [Key]),
    /// Host names or ranges of them, each with these keys.
    Hosts(&'static [Key]),
    /// `name: value`, passed through to `zookeeper.properties`.
    Properties,
    /// `name: value`, passed through to `server.properties`.
    BrokerProperties,
    /// The brokers by their hosts' names or ranges of them, each with these keys.
    Brokers(&'static [Key]),
    /// `PLAINTEXT://10.0.0.11:9092`, several with commas.
    Listeners,
    /// Absolute paths on the hosts, as a list.
    RemotePaths,
    /// `{ env: NAME }` or `{ file: PATH }`.
    Secret,
    /// User names, each with the place of its password or with nothing: then zkprov makes one.
    Users,
    Name,
    Address,
    SshHost,
    User,
    /// Digits and dots: `3.3.1`.
    Version,
    Number {
        min: u64,
        max: u64,
    },
    /// `10s`, `500ms`, `1m`.
    Duration,
    Bool,
    Choice(&'static [&'static str]),
    /// On the controller; relative to the inventory.
    Path,
    /// On the hosts; absolute.
    RemotePath,
    /// URLs or paths.
    Sources,
    /// A digest, or the path or URL of a checksum file.
    Sha512,
    /// `512M`, `1G`.
    Heap,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, required: false, default, about }
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, required: true, default: "", about }
}

const PORT: Kind = Kind::Number { min: 1, max: 65535 };
const BECOME: Kind = Kind::Choice(&["none", "sudo"]);

/// The whole inventory.
pub const INVENTORY: &[Key] = &[
    required(
        "ensemble",
        Kind::Name,
        "Names the operator lock, the reports and the ensemble itself",
    ),
    required(
        "hosts",
        Kind::Hosts(HOST),
        "The hosts, by name; `kafka[1:3]` stands for three of them",
    ),
    key("ssh", Kind::Section(SSH), "", "How the controller logs in, unless a host says otherwise"),
    key(
        "become",
        BECOME,
        "none for user root, else sudo",
        "How the login becomes root on the hosts",
    ),
    key(
        "become_password",
        Kind::Secret,
        "",
        "Where the sudo password is read from, instead of asking for it",
    ),
    key("kafka", Kind::Section(KAFKA), "", "The Kafka distribution that is put on the hosts"),
    key("coordinator", Kind::Section(COORDINATOR), "", "The coordination service itself"),
    key(
        "brokers",
        Kind::Brokers(BROKER),
        "",
        "Kafka's brokers, by the name of the host each runs on; `kafka[1:3]` stands for three",
    ),
    key(
        "properties",
        Kind::Properties,
        "",
        "Further lines of `zookeeper.properties`, passed through",
    ),
    key("security", Kind::Section(SECURITY), "", "Who may talk to whom: TLS, logins, certificates"),
    key(
        "templates",
        Kind::Path,
        "",
        "A folder whose files override the built-in templates of the same name",
    ),
];

/// One host.
pub const HOST: &[Key] = &[
    required(
        "address",
        Kind::Address,
        "By which the other members and the clients know the host: an IP address or a name",
    ),
    key(
        "myid",
        Kind::Number { min: 1, max: 255 },
        "",
        "The member's number, unique in the ensemble; required unless the role is broker",
    ),
    key(
        "role",
        Kind::Choice(&["participant", "observer", "broker"]),
        "participant",
        "A participant votes; an observer follows and serves, but does not vote; a broker's host is no member",
    ),
    key("ssh", Kind::Section(HOST_SSH), "", "How the controller gets into this host"),
    key("become", BECOME, "the inventory's", "How the login becomes root on this host"),
    key("coordinator", Kind::Section(HOST_COORDINATOR), "", "What differs on this host"),
    key(
        "properties",
        Kind::Properties,
        "",
        "Lines of `zookeeper.properties` for this host alone; they win",
    ),
];

/// `ssh` for all hosts.
pub const SSH: &[Key] = &[USER, SSH_PORT, IDENTITY_FILE, CONFIG, CONNECT_TIMEOUT];

/// `ssh` of one host.
pub const HOST_SSH: &[Key] = &[
    key(
        "host",
        Kind::SshHost,
        "the host's address",
        "Where the controller connects to: an address, a name, or a `Host` of the ssh configuration",
    ),
    USER,
    SSH_PORT,
    IDENTITY_FILE,
    CONFIG,
    CONNECT_TIMEOUT,
];

const USER: Key = key("user", Kind::User, "what ssh itself would take", "The login");
const SSH_PORT: Key = key("port", PORT, "what ssh itself would take, else 22", "The port of sshd");
const IDENTITY_FILE: Key = key(
    "identity_file",
    Kind::Path,
    "what ssh itself would take",
    "The private key to log in with",
);
const CONFIG: Key =
    key("config", Kind::Path, "", "A further ssh configuration file, read before your own");
const CONNECT_TIMEOUT: Key =
    key("connect_timeout", Kind::Duration, "10s", "How long a connection may take to come about");

/// `kafka`.
pub const KAFKA: &[Key] = &[
    key("install", Kind::Bool, "true", "false leaves the tarball out"),
    key("version", Kind::Version, "3.3.1", "The release of Kafka"),
    key("scala", Kind::Version, "2.13", "The Scala version it was built for"),
    key(
        "sources",
        Kind::Sources,
        "https://archive.apache.org/dist/kafka/VERSION/",
        "Where the tarball may be had, tried in this order: URLs, `file://` or paths; one that ends in `/` is the \
         tarball's folder",
    ),
    key(
        "sha512",
        Kind::Sha512,
        "known for common releases",
        "The tarball's SHA-512, or the path or URL of a checksum file",
    ),
    key("install_root", Kind::RemotePath, "/opt", "The folder under which releases are unpacked"),
    key(
        "fetch",
        Kind::Choice(&["controller", "host"]),
        "controller",
        "controller: one download here, streamed to every host; host: each host downloads for itself",
    ),
];

const DATA_DIR: Key = key(
    "data_dir",
    Kind::RemotePath,
    "/data/zookeeper",
    "Where snapshots and myid are kept, and the log",
);
const DATA_LOG_DIR: Key = key(
    "data_log_dir",
    Kind::RemotePath,
    "the same as data_dir",
    "A folder of its own for the log",
);
const CLIENT_PORT: Key = key("client_port", PORT, "2181", "Where clients connect to");
const QUORUM_PORT: Key = key("quorum_port", PORT, "2888", "Where followers connect to the leader");
const ELECTION_PORT: Key = key("election_port", PORT, "3888", "Where members elect a leader");

/// `coordinator` for all hosts.
pub const COORDINATOR: &[Key] = &[
    key(
        "engine",
        Kind::Choice(&["coordinator", "zookeeper"]),
        "coordinator",
        "coordinator: the server zkprov ships; zookeeper: Apache ZooKeeper from Kafka's tarball, which needs Java",
    ),
    DATA_DIR,
    DATA_LOG_DIR,
    CLIENT_PORT,
    QUORUM_PORT,
    ELECTION_PORT,
    key(
        "tick_time",
        Kind::Number { min: 100, max: 60_000 },
        "2000",
        "ZooKeeper's tick, in milliseconds",
    ),
    key(
        "init_limit",
        Kind::Number { min: 1, max: 100_000 },
        "10",
        "Ticks a follower may take to catch up",
    ),
    key("sync_limit", Kind::Number { min: 1, max: 100_000 }, "5", "Ticks a follower may be behind"),
    key(
        "max_client_cnxns",
        Kind::Number { min: 0, max: 1_000_000 },
        "0",
        "Connections from one client address; 0 is no limit",
    ),
    key(
        "bind_any",
        Kind::Bool,
        "false",
        "Write one's own `server.N` line with 0.0.0.0, as the tutorials do",
    ),
    key(
        "binary",
        Kind::Path,
        "found for the host's architecture",
        "A coordinator binary to ship instead",
    ),
    key(
        "secret",
        Kind::Secret,
        "",
        "Where the secret is read from by which members know each other",
    ),
    key(
        "account",
        Kind::User,
        "that of its data, else coordinator",
        "Only with engine coordinator: the account it runs as",
    ),
    key("java_home", Kind::RemotePath, "java in PATH", "Only with engine zookeeper: where Java is"),
    key("heap", Kind::Heap, "512M", "Only with engine zookeeper: the size of Java's heap"),
    key(
        "apache",
        Kind::Section(APACHE),
        "",
        "An Apache ZooKeeper that zkprov has not set up: left as it is, or moved away from and still the way back",
    ),
];

/// An Apache ZooKeeper that was found.
pub const APACHE: &[Key] = &[
    required("unit_file", Kind::RemotePath, "Where systemd has its unit from"),
    required("config", Kind::RemotePath, "The file it reads: zoo.cfg"),
    required("account", Kind::User, "The account it runs as, whose data it is"),
];

/// `coordinator` of one host.
pub const HOST_COORDINATOR: &[Key] =
    &[DATA_DIR, DATA_LOG_DIR, CLIENT_PORT, QUORUM_PORT, ELECTION_PORT];

const TRANSPORT: Kind = Kind::Choice(&["off", "optional", "required"]);

/// `security`.
pub const SECURITY: &[Key] = &[
    key("tls", Kind::Section(TLS), "", "Which connections are encrypted, and prove who they are"),
    key(
        "ca",
        Kind::Section(CA),
        "made by zkprov, and kept beside the inventory",
        "An authority of your own that issues the hosts' certificates",
    ),
    key(
        "days",
        Kind::Number { min: 1, max: 825 },
        "90",
        "How long a certificate holds; it is renewed when a third of that is left",
    ),
    key("users", Kind::Users, "", "Who may log in by SASL (DIGEST-MD5)"),
    key("broker_user", Kind::Name, "", "As which of the users the brokers log in"),
    key(
        "acl",
        Kind::Bool,
        "false",
        "Brokers keep what they write to themselves (`zookeeper.set.acl`)",
    ),
];

/// `security: tls`.
pub const TLS: &[Key] = &[
    key(
        "clients",
        TRANSPORT,
        "off",
        "optional: the client port takes both, brokers use TLS; required: TLS with a certificate alone",
    ),
    key("members", TRANSPORT, "off", "The same between the members"),
];

/// `security: ca`.
pub const CA: &[Key] = &[
    required(
        "certificate",
        Kind::Path,
        "Its certificate in PEM, and behind it what else is to be trusted",
    ),
    required("key", Kind::Path, "Its key in PEM, in a file that only you can read"),
];

/// One broker.
pub const BROKER: &[Key] = &[
    required(
        "broker_id",
        Kind::Number { min: 0, max: 2_147_483_647 },
        "The broker's number, unique in the cluster; it belongs to the data and never changes",
    ),
    required(
        "listeners",
        Kind::Listeners,
        "Where it listens, as Kafka writes it: `PLAINTEXT://10.0.0.11:9092`",
    ),
    key(
        "log_dirs",
        Kind::RemotePaths,
        "[ /data/kafka ]",
        "The folders of its partitions, each of the service's own",
    ),
    key(
        "heap",
        Kind::Heap,
        "a quarter of the host's memory, from 256M to 6G",
        "The size of Java's heap",
    ),
    key("java_home", Kind::RemotePath, "java in PATH", "Where Java is, 11 or later"),
    key("properties", Kind::BrokerProperties, "", "Further lines of `server.properties`"),
];

/// A secret's place.
pub const SECRET: &[Key] = &[
    key("env", Kind::Name, "", "An environment variable of zkprov"),
    key("file", Kind::Path, "", "A file that only you can read"),
];
