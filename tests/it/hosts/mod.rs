//! Real hosts: the whole product against Debian systems that are booted for it. The scenarios of one lab
//! build on each other; each says its name. `ZKPROV_TEST_LONG=1` runs the long ones too; `scenarios.rs` says
//! how to choose some.

use self::Kind::{Base, Long, Quick};
use self::lab::Lab;
use crate::scenarios::Scenarios;

mod account;
mod backups;
mod crowd;
mod faults;
mod first;
mod lab;
mod logins;
mod refusals;
mod rolls;
mod secured;
mod sources;
mod states;

/// Whether `make test` has the time for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quick,
    /// Faults, rolls and logins, many boots and applies each: `make e2e` runs them.
    Long,
    /// Others begin with what it leaves: also runs when they were chosen alone.
    Base,
}

type Scenario = (Kind, &'static str, fn(&Lab));

/// Every scenario, in order.
const SCENARIOS: [Scenario; 23] = [
    (Quick, "a dry run writes nothing", first::dry_run_writes_nothing),
    (Base, "the first apply does what the plan said, and the ensemble serves", first::first_apply),
    (Quick, "a second apply changes nothing, with one session a host", first::second_apply),
    (Quick, "a saved plan is refused once a host has changed", first::saved_plan),
    (Long, "a change on a serving ensemble is rolled, a bad one rolled back", rolls::rolled),
    (Long, "restart, interrupted and resumed", rolls::restart),
    (Long, "one run at a time", rolls::locked),
    (Long, "every way in that fails says why", logins::ways_in),
    (Quick, "what belongs to the operator is refused by name", refusals::operators),
    (Quick, "what a host is and has is said before anything is done", refusals::facts),
    (Quick, "hosts download for themselves, and trust no source", sources::host_fetches),
    (Long, "a service account cannot lead root", account::races),
    (Long, "a coordinator has an account of its own", account::of_its_own),
    (Long, "secured from nothing", secured::from_nothing),
    (Long, "hostile archives are refused and leave nothing", sources::hostile),
    (Long, "a host that dies in the middle is applied to again", faults::deaths),
    (Long, "a host that freezes or is cut off in a step", faults::silence),
    (Long, "Ctrl-C in each step", faults::interrupts),
    (Long, "no room", faults::no_room),
    (Long, "sudo, banners and other shells", logins::other_logins),
    (Long, "a member alone says who is missing", first::alone),
    (Long, "a backup beside writes is restored elsewhere", backups::backed_up),
    (Quick, "destroy takes back what apply has put", first::destroy),
];

#[test]
fn real_hosts() {
    const TEST: &str = "hosts::real_hosts";
    if !crate::lab::may_boot(TEST) {
        return;
    }
    let lab = Lab::up("zkit", "10.76.61", "");
    let mut running = Scenarios::of("hosts");
    for (kind, name, scenario) in &SCENARIOS {
        if *kind == Long && !crate::lab::long(&format!("{TEST}: {name}"), running.chosen()) {
            continue;
        }
        if *kind == Base || running.wants(name) {
            running.run(name, || scenario(&lab));
        }
    }
    running.end();
}

/// What differs between releases: accounts, units, ssh and sudo; each scenario begins by itself.
const OF_A_RELEASE: [&str; 8] = [
    "a dry run writes nothing",
    "the first apply does",
    "a second apply changes nothing",
    "is rolled, a bad one rolled back",
    "restart, interrupted",
    "every way in",
    "what belongs to the operator",
    "destroy takes back",
];

/// The main scenarios on hosts of other releases.
fn of_releases(test: &'static str, name: &'static str, network: &'static str, releases: &str) {
    if !crate::lab::may_boot_long(test, false) {
        return;
    }
    let mut running = Scenarios::of(test);
    let lab = Lab::up(name, network, releases);
    for (_, name, scenario) in &SCENARIOS {
        if OF_A_RELEASE.iter().any(|words| name.contains(words)) {
            running.run(name, || scenario(&lab));
        }
    }
    running.end();
}

#[test]
fn debian_11() {
    of_releases("hosts::debian_11", "zkd11", "10.76.11", "bullseye");
}

#[test]
fn debian_13() {
    of_releases("hosts::debian_13", "zkd13", "10.76.13", "trixie");
}

#[test]
fn debian_11_to_13_in_one_ensemble() {
    const TEST: &str = "hosts::debian_11_to_13_in_one_ensemble";
    of_releases(TEST, "zkdmix", "10.76.12", "bullseye,bookworm,trixie");
}
