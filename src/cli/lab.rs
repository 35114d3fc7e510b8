//! Flags of `zkprov lab`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The lab that is meant when none is named.
pub const DEFAULT_LAB: &str = "zkprov";

/// Labs of different names live side by side. All of this needs root, except `ssh`.
#[derive(Args, Debug)]
pub struct Lab {
    /// The lab's name
    #[arg(long, global = true, default_value = DEFAULT_LAB)]
    pub name: String,
    #[command(subcommand)]
    pub command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Boot N fresh hosts and write their inventory
    Up(LabUp),
    /// Stop the hosts and take everything away
    Down {
        /// Also the base systems, unless another lab stands on them
        #[arg(long)]
        purge: bool,
    },
    /// Say whether this machine can boot hosts, and what it lacks
    Check,
    /// Show the hosts
    Status,
    /// Give hosts a fresh disk and boot them
    Reset {
        /// Which; all when left out
        hosts: Vec<String>,
    },
    /// Log in to a host, or run a command there
    Ssh {
        /// As whom
        #[arg(long, default_value = "root")]
        user: LabUser,
        host: String,
        /// A command to run there
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a command inside a host from outside: no ssh, no network
    Exec {
        host: String,
        /// The command; a shell when left out
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Write the hosts' system as a box for Vagrant's lxc provider
    Box {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Count the logins and sessions that the hosts' sshd has seen
    Sessions,

    /// Cut a host's power
    Kill { host: String },
    /// Switch a stopped host on, its disk as it was
    Start { host: String },
    /// Shut a host down in order
    Poweroff { host: String },
    /// Reboot a host in order
    Reboot { host: String },
    /// Stop every process of a host where it stands
    Freeze { host: String },
    /// Let a frozen host go on
    Thaw { host: String },
    /// Pull a host's cable
    Cut { host: String },
    /// Plug a host's cable in
    Join { host: String },
    /// Silently drop what two hosts send each other
    Drop {
        host: String,
        /// The other host; the controller when left out
        other: Option<String>,
    },
    /// Drop nothing any more
    Undrop,
    /// Make a host's wire slow or lossy; neither: as it was
    Delay {
        host: String,
        /// How much longer a round trip takes, in milliseconds
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10_000))]
        ms: u16,
        /// How many of a thousand frames are lost, in either direction
        #[arg(long, value_name = "PERMILLE", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
        loss: u16,
    },
    /// Carry the frames of a slow wire
    #[command(hide = true)]
    Relay { one: String, other: String, delay_us: u64, loss_permille: u16 },
    /// Leave only so much space at a path of a host
    Fill {
        host: String,
        #[arg(default_value = "/data")]
        path: String,
        /// Free space
        #[arg(long, default_value_t = 1)]
        megabytes: u32,
    },
    /// Give a host another key, one that nobody knows
    Rekey { host: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabUser {
    /// May do everything
    Root,
    /// May become root without a password
    Vagrant,
    /// May become root with its password, `ops`
    Ops,
}

/// A release of Debian, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum LabRelease {
    /// Debian 11
    Bullseye,
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
}

impl LabRelease {
    /// As the archive calls it.
    pub const fn suite(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

#[derive(Args, Debug)]
pub struct LabUp {
    /// How many hosts
    #[arg(default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub hosts: u8,
    /// Also write the inventory here
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// The first three octets of the lab's network, such as 10.77.0
    #[arg(long, value_name = "OCTETS")]
    pub network: Option<String>,
    /// Hosts with a Java runtime, for brokers
    #[arg(long)]
    pub java: bool,
    /// A real swap file, in use, on the first host; it is this whole machine's swap
    #[arg(long)]
    pub swap: bool,
    /// Releases of Debian, given to the hosts in turn; this machine's own system when left out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub release: Vec<LabRelease>,
    /// Hosts without Python
    #[arg(long)]
    pub no_python: bool,
}
