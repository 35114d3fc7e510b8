//! `zkprov lab`: real Debian hosts on this machine.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;

use crate::cli::{self, LabCommand, LabUp};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lab::{Condition, Flavour, Lab, Options, Wire};
use crate::report;

pub fn run(arguments: &cli::Lab) -> Outcome {
    let name = arguments.name.as_str();
    let lab = || Lab::open(name);
    let started = Instant::now();
    match &arguments.command {
        LabCommand::Up(options) => up(name, options)?,
        LabCommand::Down { purge } => {
            Lab::down(name)?;
            if *purge {
                Lab::prune()?;
            }
        }
        LabCommand::Check => {
            crate::lab::check_machine()?;
            report::talk("lab: this machine can boot hosts");
        }
        LabCommand::Status => report::data(&status(&lab()?)),
        LabCommand::Reset { hosts } => {
            lab()?.reset(hosts)?;
            report::talk(&format!("lab: fresh in {} ms", started.elapsed().as_millis()));
        }
        LabCommand::Ssh { user, host, words } => {
            let lab = lab()?;
            let user = user
                .to_possible_value()
                .map_or_else(String::new, |user| user.get_name().to_owned());
            let mut ssh = Command::new("ssh");
            ssh.arg("-F").arg(lab.ssh_config(&user)).arg(&lab.host(host)?.name).args(words);
            return Err(become_process(&mut ssh));
        }
        LabCommand::Exec { host, words } => {
            let lab = lab()?;
            let shell = [String::from("sh")];
            let words = if words.is_empty() { &shell[..] } else { words };
            return Err(become_process(&mut lab.inside_on_terminal(lab.host(host)?, words)?));
        }
        LabCommand::Box { file } => crate::lab::write_box(file)?,
        LabCommand::Sessions => report::data(&sessions(&lab()?)?),
        LabCommand::Kill { host } => on(&lab()?, host, Lab::kill)?,
        LabCommand::Start { host } => on(&lab()?, host, Lab::start)?,
        LabCommand::Poweroff { host } => on(&lab()?, host, Lab::poweroff)?,
        LabCommand::Reboot { host } => on(&lab()?, host, Lab::reboot)?,
        LabCommand::Freeze { host } => on(&lab()?, host, Lab::freeze)?,
        LabCommand::Thaw { host } => on(&lab()?, host, Lab::thaw)?,
        LabCommand::Cut { host } => on(&lab()?, host, Lab::cut)?,
        LabCommand::Join { host } => on(&lab()?, host, Lab::join)?,
        LabCommand::Rekey { host } => on(&lab()?, host, Lab::rekey)?,
        LabCommand::Drop { host, other } => {
            let lab = lab()?;
            let other = other.as_deref().map(|other| lab.host(other)).transpose()?;
            lab.drop_between(lab.host(host)?, other)?;
        }
        LabCommand::Undrop => lab()?.drop_nothing(),
        LabCommand::Delay { host, ms, loss } => {
            let lab = lab()?;
            // Half of a round trip on the way there, half on the way back.
            let delay = Duration::from_micros(u64::from(*ms) * 500);
            lab.delay(lab.host(host)?, Wire { delay, loss_permille: *loss })?;
        }
        LabCommand::Relay { one, other, delay_us, loss_permille } => {
            let delay = Duration::from_micros(*delay_us);
            crate::lab::carry(one, other, Wire { delay, loss_permille: *loss_permille })?;
        }
        LabCommand::Fill { host, path, megabytes } => {
            let lab = lab()?;
            lab.fill(lab.host(host)?, path, *megabytes)?;
        }
    }
    Ok(Exit::Done)
}

fn up(name: &str, arguments: &LabUp) -> Result<(), Failure> {
    let started = Instant::now();
    let lab = Lab::up(
        name,
        arguments.hosts,
        Options {
            network: arguments.network.clone(),
            flavour: if arguments.java { Flavour::Java } else { Flavour::Bare },
            swap: arguments.swap,
            no_python: arguments.no_python,
            releases: arguments.release.clone(),
        },
    )?;
    let inventory = lab.inventory();
    if let Some(path) = &arguments.inventory {
        lab.write_inventory(path)?;
    }
    let inventory = arguments.inventory.as_ref().unwrap_or(&inventory);
    report::talk(&format!(
        "lab: {} hosts up in {} ms; next: zkprov apply {}",
        lab.hosts().len(),
        started.elapsed().as_millis(),
        inventory.display()
    ));
    Ok(())
}

fn on(
    lab: &Lab,
    host: &str,
    act: impl Fn(&Lab, &crate::lab::Host) -> Result<(), Failure>,
) -> Result<(), Failure> {
    act(lab, lab.host(host)?)
}

fn status(lab: &Lab) -> String {
    let mut text = String::new();
    for host in lab.hosts() {
        let condition = match lab.condition(host) {
            Condition::Running => "running",
            Condition::Frozen => "frozen",
            Condition::Stopped => "stopped",
        };
        let _ = writeln!(text, "{:<10} {:<15} {condition}", host.name, host.address);
    }
    let _ = writeln!(text, "inventory  {}", lab.inventory().display());
    let _ = writeln!(text, "ssh config {}", lab.ssh_config("root").display());
    text
}

fn sessions(lab: &Lab) -> Result<String, Failure> {
    let mut text = String::new();
    for host in lab.hosts() {
        let (logins, sessions) = lab.sessions(host)?;
        let _ = writeln!(text, "{:<10} {logins} logins, {sessions} sessions", host.name);
    }
    Ok(text)
}

/// Goes on as another program, so that its exit code and its terminal are the user's.
fn become_process(command: &mut Command) -> Failure {
    let error = command.exec();
    Failure::failed(format!("cannot run `{}`: {error}", command.get_program().to_string_lossy()))
}
