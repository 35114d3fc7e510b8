//! Rolls as texts: who there is, what is to be restarted and what befalls them goes in; what `zkprov restart`
//! prints comes out. The production machine decides, the production words tell; the processes are those of a
//! small world.
//!
//! Lines of a case: `HOST STATE` and, of brokers, `TOPIC-PARTITION on ID… in sync ID…`; `restart HOST…`, once or
//! more; options as `settle 5 s`; and `WHEN: WHAT`, where WHEN is `at SECONDS s`, `after HOST restart` or
//! `after HOST back`.

use std::fmt::Write as _;

use zkprov::failure::Failure;
use zkprov::rolling::gate::{Machine, Next, Target};
use zkprov::rolling::service::{self, Service};

use crate::cases;

mod brokers;
mod members;

/// What passes before the first look: the probe and the person's answer.
const BEGINS_MS: u64 = 800;
/// The time of a command that restarts a process.
const RESTART_MS: u64 = 300;
/// The name of the run, which a real one takes from the clock.
const RUN: &str = "demo-1795939454-31926";

/// The processes that are rolled.
trait World: Sized {
    type Machine: Machine;

    /// Takes a line that describes who there is, or what holds.
    fn line(&mut self, line: &str) -> bool;
    fn service(&self) -> Service;
    fn machine(&self, options: &Options, targets: Vec<Target>) -> Self::Machine;
    fn view(&self, now_ms: u64) -> <Self::Machine as Machine>::View;
    fn transfer(&mut self, host: &str);
    fn restart(&mut self, host: &str, now_ms: u64);
    /// What befalls a host.
    fn befalls(&mut self, host: &str, what: &str);
    /// What is said of the whole roll at its end.
    fn bound(&self) -> String;
}

#[derive(Clone, Copy, Debug)]
struct Options {
    settle_ms: u64,
    allow_quorum_loss: bool,
    /// Nobody has come to lead within the time of an election, and what they run is changed.
    dark: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    At(u64),
    Restart(String),
    Back(String),
}

fn when(text: &str) -> When {
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["at", seconds, "s"] => When::At((seconds.parse::<f64>().expect("seconds") * 1e3) as u64),
        ["after", host, "restart"] => When::Restart(host.to_owned()),
        ["after", host, "back"] => When::Back(host.to_owned()),
        _ => panic!("`{text}` is no time"),
    }
}

#[test]
fn each_roll_goes_as_told() {
    cases("rolls", |name, input| {
        if name.starts_with("brokers-") {
            told(brokers::Brokers::default(), input)
        } else {
            told(members::Members::default(), input)
        }
    });
}

fn told<W: World>(mut world: W, input: &str) -> String {
    let mut options = Options { settle_ms: 20_000, allow_quorum_loss: false, dark: false };
    let mut rolls: Vec<Vec<Target>> = Vec::new();
    let mut events: Vec<(When, &str, &str)> = Vec::new();
    for line in input.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some((time, event)) = line.split_once(": ") {
            let (host, what) = event.split_once(' ').expect("HOST WHAT");
            events.push((when(time), host, what));
            continue;
        }
        match words[..] {
            ["settle", seconds, "s"] => options.settle_ms = seconds.parse::<u64>().unwrap() * 1000,
            ["--allow-quorum-loss"] => options.allow_quorum_loss = true,
            ["changes"] => options.dark = true,
            ["restart", ref hosts @ ..] => {
                let target =
                    |host: &&str| Target { host: (*host).to_owned(), why: "--all".to_owned() };
                rolls.push(hosts.iter().map(target).collect());
            }
            _ => assert!(world.line(line), "`{line}` is not understood"),
        }
    }
    assert!(!rolls.is_empty(), "nothing is to be restarted");
    let (mut text, mut now_ms) = (String::new(), 0);
    for targets in rolls {
        roll(&mut world, &mut now_ms, options, targets, &mut events, &mut text);
    }
    assert!(events.is_empty(), "never came about: {events:?}\n{text}");
    text
}

/// One roll to its end, as the engine and the driver go through it.
fn roll<W: World>(
    world: &mut W,
    now_ms: &mut u64,
    options: Options,
    targets: Vec<Target>,
    events: &mut Vec<(When, &str, &str)>,
    text: &mut String,
) {
    let (service, count) = (world.service(), targets.len());
    let of_members = service.noun == "member";
    text.push_str(&if of_members {
        service::asked(&targets, &[])
    } else {
        service::asked(&[], &targets)
    });
    let mut machine = world.machine(&options, targets);
    let began_ms = *now_ms;
    let elapsed_s = |now_ms: u64| (now_ms - began_ms + BEGINS_MS) as f64 / 1e3;
    let happens =
        |world: &mut W, events: &mut Vec<(When, &str, &str)>, now: &dyn Fn(&When) -> bool| {
            events.retain(|(when, host, what)| {
                let due = now(when);
                if due {
                    world.befalls(host, what);
                }
                !due
            });
        };
    happens(world, events, &|when| *when == When::At(0));
    if let Err(failure) = service.preflight(&machine.preflight(&world.view(*now_ms))) {
        return end(text, &failure);
    }
    let _ = writeln!(text, "run {RUN}");
    let mut waits_for = String::new();
    for _ in 0..5_000 {
        happens(world, events, &|when| matches!(when, When::At(at_ms) if *at_ms <= *now_ms));
        let view = world.view(*now_ms);
        let pending = machine.pending().len();
        let next = machine.next(&view, *now_ms);
        let repeated = matches!(&next, Next::Wait { why, .. } if *why == waits_for);
        if let Some((what, host, why)) = service.told(&next).filter(|_| !repeated) {
            let _ = writeln!(text, "{}", what.line(elapsed_s(*now_ms), host, &why));
        }
        match next {
            Next::Wait { pause_ms, why } => {
                waits_for = why;
                *now_ms += pause_ms;
            }
            Next::Transfer { host } => {
                world.transfer(&host);
                machine.transferred();
            }
            Next::Restart { host, .. } => {
                machine.restarted(&host, &view, *now_ms);
                *now_ms += RESTART_MS;
                world.restart(&host, *now_ms);
                happens(world, events, &|when| *when == When::Restart(host.clone()));
            }
            Next::Back { host, .. } => {
                happens(world, events, &|when| *when == When::Back(host.clone()));
            }
            Next::Finished => {
                let (members, brokers) = if of_members { (count, 0) } else { (0, count) };
                let what = service::counted(members, brokers);
                let elapsed_s = elapsed_s(*now_ms);
                let _ = writeln!(text, "{what} restarted in {elapsed_s:.1} s\n# {}", world.bound());
                return;
            }
            Next::Refused { why } => return end(text, &service.refused(&why, pending, RUN)),
            Next::Failed { host, why } => {
                return end(text, &service.failed(&host, &why, "the journal", pending, RUN));
            }
        }
    }
    panic!("the roll does not end:\n{text}");
}

fn end(text: &mut String, failure: &Failure) {
    let _ = writeln!(text, "{failure}\n# exit {}", failure.exit.code());
}
