//! The command line: flags as plain data, then one library function per command.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::exit::{self, Failure, VERSION};
use crate::{brokers, edge, offline, shell, status, store, tls};

/// A replicated coordination server that speaks the protocol of Apache ZooKeeper.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server in the foreground
    Serve(ServeArguments),
    /// Read and change znodes, by one command or interactively
    Shell(shell::Arguments),
    /// Show what a server is doing; exit 0 only when it serves in a quorum
    Status(status::Arguments),
    /// Show Kafka's brokers and partitions as recorded in ZooKeeper, as JSON
    Brokers(brokers::Arguments),
    /// Verify log and snapshots of a stopped server, or a backup; exit 1 on damage
    Check(CheckArguments),
    /// Found a new ensemble from a backup; run it on every member, all stopped and empty
    Restore(RestoreArguments),
    /// Take over Apache ZooKeeper's data; run it on every member, all stopped
    Import(ImportArguments),
    /// Show how far a stopped member of Apache ZooKeeper has come, as its elections compare it
    Standing(StandingArguments),
    /// Write this stopped member's data as a data directory of Apache ZooKeeper
    Export(ExportArguments),
    /// Continue from this stopped member alone, after a majority was lost for good
    Rescue(RescueArguments),
    /// Send a command to a running server on this host
    Admin(AdminArguments),
    /// Make this host's key and the request for its certificate
    #[command(subcommand, hide = true)]
    Certificate(CertificateCommand),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Make a key and print the request for its certificate
    Request(RequestArguments),
}

#[derive(Debug, Args)]
pub struct RequestArguments {
    /// Where the key goes; nothing may be there
    #[arg(value_name = "KEY")]
    pub key: PathBuf,
    /// Whom the request names; whoever issues decides
    #[arg(long, value_name = "NAME", default_value = "coordinator")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Configuration file in Apache ZooKeeper's format
    #[arg(value_name = "ZOOKEEPER.PROPERTIES")]
    pub config: PathBuf,
    /// Override a key of the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The `dataDir` of the configuration, or the file of a backup (`-` reads it from stdin)
    #[arg(value_name = "DATADIR|BACKUP")]
    pub data_dir: PathBuf,
    /// The `dataLogDir` of the configuration, where it is another directory
    #[arg(long = "log", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// Configuration of this member
    #[arg(value_name = "ZOOKEEPER.PROPERTIES")]
    pub config: PathBuf,
    /// What `coordinator admin backup` wrote; `-` reads it from stdin
    #[arg(value_name = "BACKUP")]
    pub file: PathBuf,
    /// A word for this restore: the same on all members, never used before with this backup
    #[arg(long, value_name = "WORD")]
    pub ensemble_id: Option<String>,
    /// Continue zxids in this epoch or a later one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u64,
    /// Move existing data aside
    #[arg(long)]
    pub force: bool,
    /// Override a key of the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Configuration of this member
    #[arg(value_name = "ZOOKEEPER.PROPERTIES")]
    pub config: PathBuf,
    /// A member's `dataDir`, a comma and its `dataLogDir` where that is another one; give those of
    /// all members, and the one that Apache ZooKeeper would elect counts. Without it the
    /// configuration's own
    #[arg(long, value_name = "DATADIR[,DATALOGDIR]")]
    pub from: Vec<String>,
    /// Only report what exists and what would be lost
    #[arg(long)]
    pub check: bool,
    /// A word for this import: the same on all members, never used before
    #[arg(long, value_name = "WORD")]
    pub ensemble_id: Option<String>,
    /// Continue zxids in this epoch or a later one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u64,
    /// Take a history whose digests are not those that Apache ZooKeeper noted, as it does itself
    #[arg(long)]
    pub ignore_digests: bool,
    /// Move a coordinator's existing data aside
    #[arg(long)]
    pub force: bool,
    /// Override a key of the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StandingArguments {
    /// A member's `dataDir`, a comma and its `dataLogDir` where that is another one
    #[arg(value_name = "DATADIR[,DATALOGDIR]")]
    pub directory: String,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Configuration of this member
    #[arg(value_name = "ZOOKEEPER.PROPERTIES")]
    pub config: PathBuf,
    /// Where `version-2` is made
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Give up the sessions whose passwords Apache ZooKeeper would refuse, and their ephemerals
    #[arg(long)]
    pub end_sessions: bool,
    /// Override a key of the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RescueArguments {
    /// Configuration of the survivor
    #[arg(value_name = "ZOOKEEPER.PROPERTIES")]
    pub config: PathBuf,
    /// Do it; without this only say what would be kept
    #[arg(long)]
    pub yes: bool,
    /// Override a key of the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

#[derive(Debug, Args)]
pub struct AdminArguments {
    /// The server's socket, `<dataDir>/coordinator/admin.sock` unless configured otherwise
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// `transfer-leadership [ID]`, `remove-member ID`, `members`, `snapshot`, or `backup`, which
    /// writes a file to stdout
    #[arg(value_name = "COMMAND", required = true)]
    pub line: Vec<String>,
}

/// Runs the command and returns its exit code.
pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Shell(arguments) => shell::run(arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Brokers(arguments) => brokers::run(&arguments),
        Command::Check(arguments) => check(&arguments),
        Command::Restore(arguments) => restore(&arguments),
        Command::Import(arguments) => import(arguments),
        Command::Standing(arguments) => standing(&arguments),
        Command::Export(arguments) => export(&arguments),
        Command::Rescue(arguments) => rescue(&arguments),
        Command::Admin(arguments) => admin(&arguments),
        Command::Certificate(CertificateCommand::Request(arguments)) => request(&arguments),
        Command::Version => version(),
    }
}

fn serve(arguments: &ServeArguments) -> Result<u8, Failure> {
    let (config, warnings) = Config::load(&arguments.config, &arguments.define)
        .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    // Data of Apache ZooKeeper is never ignored, and never stands beside an empty ensemble.
    offline::refuse_foreign_data(&config).map_err(|why| Failure::new(exit::FAILED, why))?;
    edge::serve(config, &warnings).map_err(|why| Failure::new(exit::FAILED, why))?;
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the server's answer is this command's data")]
fn admin(arguments: &AdminArguments) -> Result<u8, Failure> {
    let line = arguments.line.join(" ");
    if line == "backup" {
        return backup(&arguments.socket);
    }
    let answer = edge::command(&arguments.socket, &line).map_err(|error| {
        let socket = arguments.socket.display();
        let hint = "is the server running, and are you its user or root?";
        Failure::new(exit::FAILED, format!("cannot ask {socket}: {error}; {hint}"))
    })?;
    println!("{answer}");
    Ok(if answer.starts_with("ok") { exit::OK } else { exit::FAILED })
}

#[expect(clippy::print_stderr, reason = "stdout is the backup itself")]
fn backup(socket: &Path) -> Result<u8, Failure> {
    let out = std::io::stdout();
    if out.is_terminal() {
        let hint = "stdout is a terminal: send the backup to a file with `> FILE`";
        return Err(Failure::new(exit::USAGE, hint));
    }
    let report = edge::backup(socket, out.lock())
        .map_err(|why| Failure::new(exit::FAILED, format!("no backup was taken: {why}")))?;
    eprintln!("{}", json(&report));
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn restore(arguments: &RestoreArguments) -> Result<u8, Failure> {
    let (config, _) = Config::load(&arguments.config, &arguments.define)
        .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    let options = offline::RestoreOptions {
        ensemble_id: arguments.ensemble_id.clone(),
        epoch: arguments.epoch,
        force: arguments.force,
    };
    let failed = |why| Failure::new(exit::FAILED, why);
    offline::become_owner(&config, Some(&arguments.file)).map_err(failed)?;
    let report = offline::restore(&config, &arguments.file, &options)
        .map_err(|why| Failure::new(exit::FAILED, why))?;
    println!("{}", json(&report));
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn import(arguments: ImportArguments) -> Result<u8, Failure> {
    let (config, _) = Config::load(&arguments.config, &arguments.define)
        .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    let options = offline::ImportOptions {
        from: arguments.from,
        ensemble_id: arguments.ensemble_id,
        epoch: arguments.epoch,
        check: arguments.check,
        ignore_digests: arguments.ignore_digests,
        force: arguments.force,
    };
    let report =
        offline::import(&config, &options).map_err(|why| Failure::new(exit::FAILED, why))?;
    println!("{}", json(&report));
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn standing(arguments: &StandingArguments) -> Result<u8, Failure> {
    let standing =
        offline::standing(&arguments.directory).map_err(|why| Failure::new(exit::FAILED, why))?;
    println!("{}", json(&standing));
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn export(arguments: &ExportArguments) -> Result<u8, Failure> {
    let (config, _) = Config::load(&arguments.config, &arguments.define)
        .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    let report = offline::export(&config, &arguments.directory, arguments.end_sessions)
        .map_err(|why| Failure::new(exit::FAILED, why))?;
    println!("{}", json(&report));
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn rescue(arguments: &RescueArguments) -> Result<u8, Failure> {
    let (config, _) = Config::load(&arguments.config, &arguments.define)
        .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    offline::become_owner(&config, None).map_err(|why| Failure::new(exit::FAILED, why))?;
    let report =
        offline::rescue(&config, arguments.yes).map_err(|why| Failure::new(exit::FAILED, why))?;
    println!("{}", json(&report));
    if report.done {
        return Ok(exit::OK);
    }
    let why = "nothing was done. Writes that were acknowledged without this server are lost for \
               good: of several survivors take the one with the greatest last_term, then last_index. \
               No other member may ever start again with the data it has: empty their data \
               directories. Then run this with --yes, start this server, and then the others";
    Err(Failure::new(exit::FAILED, why))
}

fn json(report: &impl serde::Serialize) -> String {
    serde_json::to_string(report).expect("a report has plain fields")
}

#[expect(clippy::print_stdout, reason = "the report is this command's data")]
fn check(arguments: &CheckArguments) -> Result<u8, Failure> {
    if arguments.data_dir == Path::new("-") || arguments.data_dir.is_file() {
        let report = offline::check_backup(&arguments.data_dir)
            .map_err(|why| Failure::new(exit::FAILED, why))?;
        println!("{}", json(&report));
        return Ok(exit::OK);
    }
    let open = |configured: &PathBuf| {
        let directory = store::directory_in(configured);
        if !directory.is_dir() {
            let why = format!(
                "`{}` does not exist: is `{}` the dataDir of a coordinator?",
                directory.display(),
                configured.display()
            );
            return Err(Failure::new(exit::FAILED, why));
        }
        store::RealDisk::open_to_read(&directory)
            .map_err(|e| Failure::new(exit::FAILED, e.to_string()))
    };
    let data = open(&arguments.data_dir)?;
    let log = arguments.log_dir.as_ref().map_or_else(|| Ok(data.clone()), open)?;
    let report = store::check(&data, &log);
    print!("{report}");
    Ok(if report.is_sound() { exit::OK } else { exit::FAILED })
}

/// The key is only its owner's, and on disk before anybody hears of it.
#[expect(clippy::print_stdout, reason = "the request is this command's data")]
#[expect(clippy::disallowed_methods, reason = "writes the private key")]
fn request(arguments: &RequestArguments) -> Result<u8, Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let made =
        tls::request::make(&arguments.name).map_err(|why| Failure::new(exit::FAILED, why))?;
    let path = arguments.key.display();
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&arguments.key)
        .and_then(|mut file| {
            file.write_all(made.key.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot write `{path}`: {error}")))?;
    print!("{}", made.request);
    Ok(exit::OK)
}

#[expect(clippy::print_stdout, reason = "the version is this command's data")]
#[expect(clippy::unnecessary_wraps, reason = "one shape for every command")]
fn version() -> Result<u8, Failure> {
    println!("coordinator {VERSION}");
    Ok(exit::OK)
}
