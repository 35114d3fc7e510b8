//! Flags as plain data: what a person may type and what the help says about it. No I/O here.

mod certs;
mod lab;
mod migrate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::certs::{Certs, CertsCommand, IssueCert, ListCerts, RotateCa};
pub use self::lab::{DEFAULT_LAB, Lab, LabCommand, LabRelease, LabUp};
pub use self::migrate::{Migrate, MoveTo};
use crate::exit::Exit;

/// Turn bare Linux hosts into a serving coordination ensemble for Apache Kafka, over plain SSH.
///
/// A host needs sshd, a POSIX shell and systemd; no agent, no Python, no Java. Start with
/// `zkprov init`, fill in your hosts, look at `zkprov plan`, then run `zkprov apply`.
#[derive(Debug, Parser)]
#[command(name = "zkprov", version, after_help = Exit::table(), max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    /// When to colour the output; `NO_COLOR` is heeded
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented starter inventory
    Init(Init),
    /// Check an inventory without touching the network; reports every problem at once
    Validate(Validate),
    /// Print the JSON Schema of the inventory, of saved plans or of events
    Schema(Schema),
    /// Make, or convert, inventories
    #[command(subcommand)]
    Inventory(InventoryCommand),

    /// Look at living hosts of an Apache ZooKeeper, change nothing, and write the inventory that describes them
    Adopt(Adopt),

    /// Show what `apply` would change, and change nothing
    Plan(Plan),
    /// Bring the hosts to what the inventory says, and wait until the ensemble serves
    Apply(Apply),
    /// Show health and drift of each host; ends with 0 only when healthy and converged
    Status(Status),

    /// Show the hosts' certificates, or have one authority follow another
    Certs(Certs),

    /// Restart members, then brokers, one after the other, never losing the quorum
    Restart(Restart),
    /// Put members, then brokers, back to what they ran before the last change, one after the other
    Rollback(Rollback),
    /// Replace the secret by which members know each other
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Move a living ensemble from Apache ZooKeeper to the coordinator, or back; sessions live on
    Migrate(Migrate),
    /// Release an operator lock that a dead run has left
    Unlock(Unlock),
    /// Take away what `apply` has put on the hosts
    Destroy(Destroy),
    /// Write a consistent, checksummed snapshot of the ensemble to a file
    Backup(Backup),
    /// Load a backup into an empty ensemble
    Restore(Restore),
    /// Open the coordinator's shell on the ensemble, or run one command in it
    Shell(Shell),
    /// Show the service's journal of the hosts
    Logs(Logs),

    /// Download and verify the release the inventory names, into the cache
    Fetch(Fetch),
    /// Cross-compile the coordinator for the hosts' architectures
    Build(Build),
    /// Look at the files that are put on the hosts
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Boot real Debian hosts on this machine to try things on
    Lab(Lab),

    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page, or write all of them to a directory
    Man(Man),
}

/// The inventory that nearly every command starts from.
#[derive(Args, Clone, Debug)]
pub struct InventoryFile {
    /// The inventory
    #[arg(value_name = "INVENTORY", default_value = "inventory.yaml")]
    pub inventory: PathBuf,
}

/// Which hosts take part.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Only hosts whose name matches: names or globs, comma separated, `!` in front excludes
    #[arg(long, value_name = "PATTERN")]
    pub limit: Option<String>,
}

/// How the hosts are reached.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// How many hosts are worked on at the same time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub forks: u16,
    /// Ask once for the sudo password; it travels on stdin only
    #[arg(long)]
    pub ask_become_pass: bool,
    /// Accept and remember keys of hosts never seen before, and print their fingerprints
    #[arg(long)]
    pub accept_new_host_keys: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// One event a line
    Json,
}

/// How the result is told.
#[derive(Args, Clone, Debug)]
pub struct OutputOptions {
    /// The form of the output on stdout
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub output: Output,
}

/// Reports for CI.
#[derive(Args, Clone, Debug, Default)]
pub struct Reports {
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Init {
    /// Where to write it
    #[arg(default_value = "inventory.yaml")]
    pub file: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct Schema {
    /// What the schema describes
    #[arg(value_enum, default_value = "inventory")]
    pub of: SchemaOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The inventory, for editors
    Inventory,
    /// Files of `plan --out`
    Plan,
    /// Lines of `--output json`
    Events,
}

#[derive(Args, Debug)]
pub struct Validate {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// Make an inventory from an OpenSSH client configuration, such as `vagrant ssh-config` prints
    FromSshConfig(FromSshConfig),
}

#[derive(Args, Debug)]
pub struct FromSshConfig {
    /// The configuration; `-` reads stdin and carries the connection data over into the inventory
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Log in and ask each host for its private address
    #[arg(long)]
    pub discover: bool,
    /// Name of the ensemble
    #[arg(long, default_value = "demo")]
    pub ensemble: String,
}

#[derive(Args, Debug)]
pub struct Adopt {
    /// Every member's host, by the name or address to log in to; a broker's `zookeeper.connect` will do
    #[arg(value_name = "HOST", required_unless_present = "ssh_config")]
    pub hosts: Vec<String>,
    /// The hosts of an OpenSSH client configuration
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Name of the ensemble
    #[arg(long, default_value = "zookeeper")]
    pub ensemble: String,
    /// Write the inventory there, and not to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub connection: Connection,
}

/// What `plan` and `apply` have in common.
#[derive(Args, Clone, Debug)]
pub struct Planning {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    /// Only resources of these kinds (user, swap, file, service…)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Show how the contents of files differ
    #[arg(long)]
    pub diff: bool,
    /// Print exactly what would run on the hosts, and end
    #[arg(long)]
    pub show_scripts: bool,
    /// Keep configurations and units of another installation as ….before-zkprov, and replace them
    #[arg(long)]
    pub take_over: bool,
    /// End with 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
}

#[derive(Args, Debug)]
pub struct Plan {
    #[command(flatten)]
    pub planning: Planning,
    /// Save the plan, for `apply --plan FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    pub planning: Planning,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before changing; required where there is no terminal
    #[arg(long)]
    pub yes: bool,
    /// Go on although one member down means no quorum: one or two voters
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How long a restarted member must have stayed well before the next one's turn
    #[arg(long, value_name = "SECONDS")]
    pub settle: Option<u32>,
    /// Apply a saved plan; refused when the hosts have changed since
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub reports: Reports,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    /// Keep the table on the screen, and current
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub reports: Reports,
}

#[derive(Args, Debug)]
pub struct Restart {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    /// Also members and brokers whose running state is what the inventory says
    #[arg(long)]
    pub all: bool,
    /// Only coordinators, or only brokers; both when left out, coordinators first
    #[arg(long, value_enum)]
    pub role: Option<Part>,
    /// Go on with a roll that was interrupted
    #[arg(long, value_name = "RUN")]
    pub resume: Option<String>,
    /// Go on although one member down means no quorum: one or two voters
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How long a member must have stayed well before the next one's turn; 2 × tickTime × syncLimit
    /// when left out, at least 10
    #[arg(long, value_name = "SECONDS")]
    pub settle: Option<u32>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub reports: Reports,
}

/// What a roll is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The members of the ensemble
    Coordinator,
    /// Kafka's brokers
    Broker,
}

#[derive(Args, Debug)]
pub struct Rollback {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    /// Only coordinators, or only brokers; both when left out, coordinators first
    #[arg(long, value_enum)]
    pub role: Option<Part>,
    /// Show how the contents of files differ
    #[arg(long)]
    pub diff: bool,
    /// Show what would go back, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on although one member down means no quorum: one or two voters
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How long a member must have stayed well before the next one's turn
    #[arg(long, value_name = "SECONDS")]
    pub settle: Option<u32>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub reports: Reports,
}

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Give the ensemble a new secret by two rolls; goes on with a change that was interrupted
    Rotate(SecretRotate),
}

#[derive(Args, Debug)]
pub struct SecretRotate {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Go on although one member down means no quorum: one or two voters
    #[arg(long)]
    pub allow_quorum_loss: bool,
    /// How long a restarted member must have stayed well before the next one's turn
    #[arg(long, value_name = "SECONDS")]
    pub settle: Option<u32>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub reports: Reports,
}

/// The rolls are those of an apply to all hosts.
impl From<SecretRotate> for Apply {
    fn from(rotate: SecretRotate) -> Self {
        Self {
            planning: Planning {
                inventory: rotate.inventory,
                selection: Selection::default(),
                only: Vec::new(),
                diff: false,
                show_scripts: false,
                take_over: false,
                detailed_exitcode: false,
                connection: rotate.connection,
                output_options: rotate.output_options,
            },
            dry_run: false,
            yes: rotate.yes,
            allow_quorum_loss: rotate.allow_quorum_loss,
            settle: rotate.settle,
            plan: None,
            reports: rotate.reports,
        }
    }
}

#[derive(Args, Debug)]
pub struct Unlock {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Args, Debug)]
pub struct Destroy {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    /// Also delete the data directories
    #[arg(long)]
    pub purge_data: bool,
    /// Do not ask for the ensemble's name
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
}

#[derive(Args, Debug)]
pub struct Backup {
    /// The inventory
    pub inventory: PathBuf,
    /// The file to write
    pub file: PathBuf,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Args, Debug)]
pub struct Restore {
    /// The inventory
    pub inventory: PathBuf,
    /// The backup to load
    pub file: PathBuf,
    /// Replace what a non-empty ensemble holds
    #[arg(long)]
    pub force: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Args, Debug)]
pub struct Shell {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// One command to run; without it the shell is interactive
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Logs {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Only this host
    pub host: Option<String>,
    /// Keep following
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines of the past
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: u32,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Args, Debug)]
pub struct Fetch {
    #[command(flatten)]
    pub inventory: InventoryFile,
}

#[derive(Args, Debug)]
pub struct Build {
    /// Target triple, such as `aarch64-unknown-linux-musl`; both architectures when left out
    #[arg(long, value_name = "TRIPLE")]
    pub target: Vec<String>,
    /// Where to put the binaries; beside the sources' own build when left out
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the templates, where each comes from and where it lands
    List(TemplateList),
    /// Print a template, the values it sees and what it becomes for a host
    Show(TemplateShow),
}

#[derive(Args, Debug)]
pub struct TemplateList {
    #[command(flatten)]
    pub inventory: InventoryFile,
}

#[derive(Args, Debug)]
pub struct TemplateShow {
    /// The template's name, as `list` prints it
    pub name: String,
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Render it for this host; the first when left out
    #[arg(long)]
    pub host: Option<String>,
    /// Print the template itself instead of what it becomes
    #[arg(long)]
    pub source: bool,
}

#[derive(Args, Debug)]
pub struct Completions {
    pub shell: CompletionShell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Write one page per command to this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
