//! The unit: enabled, running, and running what is on disk.

use crate::plan::change::{Action, Change, Difference, Phase};
use crate::plan::library;
use crate::plan::operation::Operation;
use crate::plan::reason::{Reason, Stale};
use crate::plan::subject::Subject;
use crate::probe::{Observed, Reading, Unit};

/// Seconds within which a broker has ended and another process runs: a little more than its unit gives.
pub const BROKER_STOPS_S: u32 = 330;

/// Automatic restarts after which a young process is no sign of a service that runs.
const CRASHES_MAX: u32 = 3;
/// A process that has lived so long is not one of a row.
const STEADY_S: i64 = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub unit: String,
    /// The unit's file.
    pub fragment: String,
    /// Files it reads when it starts: one that is younger than the process asks for a restart.
    pub reads: Vec<String>,
    /// The binary it runs, when that can be told from its path.
    pub exe: Option<String>,
    /// Ports it listens on.
    pub ports: Vec<u16>,
    /// Whether systemd must read its files anew because of another resource's change.
    pub reload_after: Vec<Subject>,
    /// The coordinator's or the broker's.
    pub phase: Phase,
    /// What the unit's file asks of systemd, as [`settings`] finds it there.
    pub settings: Vec<(&'static str, String)>,
}

/// Settings of a unit that change whose rights a service has, and how much of the machine.
pub fn settings(unit: &str) -> Vec<(&'static str, String)> {
    let value = |key: &'static str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some((key, line.trim().to_owned()))
    };
    ["User", "Group", "LimitNOFILE", "ProtectSystem", "NoNewPrivileges"]
        .into_iter()
        .filter_map(value)
        .collect()
}

/// What the service does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    No,
    /// By our unit.
    Ours,
    /// By a unit of the same name from elsewhere.
    Foreign,
}

impl Service {
    pub fn read(&self, reading: &mut Reading) {
        reading.library(library::SERVICE);
        reading.unit(&self.unit);
        self.ports.iter().for_each(|port| reading.port(*port));
        for path in &self.reads {
            reading.path(path);
        }
    }

    pub fn running(&self, observed: &Observed) -> Running {
        let unit = observed.unit(&self.unit);
        match unit.get("ActiveState") {
            _ if self.crashes(observed).is_some() && unit.get("FragmentPath") == self.fragment => {
                Running::No
            }
            "active" | "activating" | "reloading" | "deactivating" => {
                if unit.get("FragmentPath") == self.fragment {
                    Running::Ours
                } else {
                    Running::Foreign
                }
            }
            _ => Running::No,
        }
    }

    /// How often the process has ended and been started again, where it does so still: a unit that waits
    /// for its next start does not run, nor does one that has lived for seconds after several ends.
    fn crashes(&self, observed: &Observed) -> Option<u32> {
        let unit = observed.unit(&self.unit);
        let restarts = unit.get("NRestarts").parse().unwrap_or(0);
        match (unit.get("ActiveState"), unit.get("SubState")) {
            ("activating", "auto-restart" | "auto-restart-queued") => Some(restarts),
            ("activating", _) if restarts > 0 => Some(restarts),
            ("active", _) if restarts >= CRASHES_MAX => {
                let now = observed.text("clock").split('.').next()?.trim().parse::<i64>().ok()?;
                let age_s = now - timestamp(unit.get("ExecMainStartTimestamp"))?;
                (age_s < STEADY_S).then_some(restarts)
            }
            _ => None,
        }
    }

    pub fn differ(&self, observed: &Observed, changed: &[Subject]) -> Difference {
        let unit = observed.unit(&self.unit);
        if unit.get("LoadState") == "masked" {
            return Difference::refused(
                format!("{} is masked", self.unit),
                format!("somebody does not want it started; `systemctl unmask {}`", self.unit),
            );
        }
        let running = self.running(observed);
        if running == Running::Foreign {
            return Difference::refused(
                format!("a foreign {} is running, from {}", self.unit, unit.get("FragmentPath")),
                format!(
                    "stop it and take care of its data: `systemctl disable --now {}`",
                    self.unit
                ),
            );
        }
        if running == Running::No
            && let Some((port, holder)) = self.taken(observed)
        {
            return Difference::refused(
                format!("port {port} is taken by {holder}"),
                "stop what listens there, or choose another port in the inventory",
            );
        }
        let mut changes = Vec::new();
        // Reading all units anew is the dearest thing a host does here: only for what systemd has read
        // already, and once. A unit that is new to it is read when it is started.
        let known = !matches!(unit.get("LoadState"), "" | "not-found");
        let reload = unit.get("NeedDaemonReload") == "yes"
            || changed.iter().filter(|subject| self.reload_after.contains(subject)).any(
                |subject| if *subject == Subject::Fstab { fstab_swaps(observed) } else { known },
            );
        // What a generator makes of a script of old times is started at boot as well.
        if !matches!(unit.get("UnitFileState"), "enabled" | "generated") {
            let operation =
                Operation::EnableUnit { unit: self.unit.clone(), reload: !reload && known };
            changes.push(Change::new(Action::Enable, Reason::NotEnabled, operation));
        }
        if reload {
            let operation = Operation::ReloadUnits;
            changes.push(Change::new(Action::Update, Reason::UnitFilesChanged, operation));
        }
        if running == Running::No {
            let crashes = self.crashes(observed);
            let result = || unit.get("Result").to_owned();
            let reason = match (unit.get("ActiveState"), crashes) {
                (_, Some(times)) => Reason::Crashing { times, result: result() },
                ("failed", _) => Reason::Failed { result: result() },
                _ => Reason::NotRunning,
            };
            let again = crashes.is_some();
            let operation = Operation::StartUnit { unit: self.unit.clone(), again };
            changes.push(Change::new(Action::Start, reason, operation));
        } else if let Some(stale) = self.stale(observed, changed) {
            let stop_s = (self.phase == Phase::BrokerServe).then_some(BROKER_STOPS_S);
            let operation = Operation::RestartUnit { unit: self.unit.clone(), stop_s };
            changes.push(Change::new(Action::Restart, Reason::Stale(stale), operation));
        }
        if changes.is_empty() { Difference::Same } else { Difference::Changes(changes) }
    }

    /// Why the process does not run what is, or will be, on disk.
    fn stale(&self, observed: &Observed, changed: &[Subject]) -> Option<Stale> {
        let unit = observed.unit(&self.unit);
        let restarts = changed.iter().filter(|subject| **subject != Subject::Fstab);
        let restarts: Vec<String> = restarts.map(ToString::to_string).collect();
        if !restarts.is_empty() {
            return Some(Stale::Pending(restarts));
        }
        if let Some(wanted) = &self.exe {
            let exe = observed.text("exe");
            let exe = exe.trim().trim_end_matches(" (deleted)");
            if !exe.is_empty() && exe != wanted {
                return Some(Stale::Binary(exe.to_owned()));
            }
        }
        let started = started_s(&unit)?;
        let younger = self
            .reads
            .iter()
            .find(|path| observed.path(path).is_some_and(|there| there.changed_s > started))?;
        Some(Stale::Older(younger.clone()))
    }

    /// What holds for the unit instead of what its own file asks for, and comes from drop-ins.
    fn altered(&self, unit: &Unit) -> Option<String> {
        if unit.get("DropInPaths").is_empty() || unit.get("FragmentPath") != self.fragment {
            return None;
        }
        let differs = |(key, wanted): &(&str, String)| {
            let there = unit.get(key);
            (!there.is_empty() && there != wanted)
                .then(|| format!("{key}={there} instead of {wanted}"))
        };
        let differing: Vec<String> = self.settings.iter().filter_map(differs).collect();
        let what = differing.join(", ");
        (!what.is_empty()).then(|| format!("{} runs with {what}, by its drop-ins", self.unit))
    }

    /// A port of the service that somebody listens on, and who.
    fn taken(&self, observed: &Observed) -> Option<(u16, String)> {
        observed.text("ports").lines().find_map(|line| {
            let mut fields = line.split_whitespace().skip(3);
            let port = fields.next()?.rsplit(':').next()?.parse().ok()?;
            let holder = fields.nth(1).unwrap_or("somebody");
            let name = holder.split('"').nth(1).unwrap_or(holder);
            let pid = holder.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            self.ports.contains(&port).then(|| (port, format!("{name}{pid}")))
        })
    }

    /// What a person should know about the unit although nothing is wrong.
    pub fn notes(&self, observed: &Observed) -> Vec<String> {
        let unit = observed.unit(&self.unit);
        let mut notes = Vec::new();
        let ready = observed.text("dropins");
        let ready =
            ready.lines().filter_map(|line| line.strip_prefix(&self.unit)?.strip_prefix(' '));
        let ready = ready.collect::<Vec<_>>().join(" ");
        let drop_ins = unit.get("DropInPaths");
        if !drop_ins.is_empty() {
            notes.push(format!("{} has drop-ins that are kept: {drop_ins}", self.unit));
        } else if !ready.is_empty() {
            notes.push(format!("{} will have drop-ins that lie ready for it: {ready}", self.unit));
        }
        notes.extend(self.altered(&unit));
        if unit.get("ActiveState") == "activating" && self.running(observed) == Running::Ours {
            notes.push(format!("{} is starting, and does not serve yet", self.unit));
        }
        let fragment = unit.get("FragmentPath");
        if !fragment.is_empty() && fragment != self.fragment {
            notes.push(format!("{} will stand before {fragment}", self.fragment));
        }
        notes
    }
}

/// Whether systemd has units for swap from fstab's lines.
fn fstab_swaps(observed: &Observed) -> bool {
    let swaps = |id: &str| id.rsplit('.').next() == Some("swap");
    let mut units = observed.units().into_iter();
    units.any(|unit| swaps(unit.get("Id")) && unit.get("SourcePath") == "/etc/fstab")
}

/// When the unit's process began, in seconds since 1970.
pub(crate) fn started_s(unit: &Unit) -> Option<i64> {
    timestamp(unit.get("ExecMainStartTimestamp"))
}

/// Seconds since 1970 of systemd's `Wed 2026-11-25 10:59:17 UTC`.
fn timestamp(text: &str) -> Option<i64> {
    let mut words = text.split(' ').skip(1);
    let mut date = words.next()?.split('-').map(|field| field.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = words.next()?.split(':').map(|field| field.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if words.next()? != "UTC" {
        return None;
    }
    // Days from the civil calendar (the year begins in March, so that a leap day comes last).
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            unit: "zookeeper.service".into(),
            fragment: "/etc/systemd/system/zookeeper.service".into(),
            reads: vec!["/etc/kafka/zookeeper.properties".into()],
            exe: Some("/usr/local/lib/zkprov/coordinator-1".into()),
            ports: vec![2181, 2888, 3888],
            reload_after: vec![
                Subject::File("/etc/systemd/system/zookeeper.service".into()),
                Subject::Fstab,
            ],
            phase: Phase::Serve,
            settings: settings("User=kafka\nNoNewPrivileges=yes\n"),
        }
    }

    const RUNNING: &str = "Id=zookeeper.service\nLoadState=loaded\nActiveState=active\n\
        UnitFileState=enabled\nFragmentPath=/etc/systemd/system/zookeeper.service\n\
        NeedDaemonReload=no\nMainPID=77\nExecMainStartTimestamp=Wed 2026-11-25 10:59:17 UTC\n";

    fn actions(observed: &[(&str, &str)]) -> Vec<(Action, Reason)> {
        match service().differ(&Observed::of(observed.iter().copied()), &[]) {
            Difference::Same => Vec::new(),
            Difference::Changes(changes) => {
                changes.into_iter().map(|c| (c.action, c.reason)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn paths(changed_s: i64) -> String {
        format!("regular file|root|root|644|9|{changed_s}|/etc/kafka/zookeeper.properties")
    }

    #[test]
    fn a_process_older_than_its_files_is_restarted_and_no_other() {
        let exe = ("exe", "/usr/local/lib/zkprov/coordinator-1");
        let start = timestamp("Wed 2026-11-25 10:59:17 UTC").expect("a time");
        assert_eq!(start, 1_795_604_357);
        assert!(actions(&[("units", RUNNING), exe, ("paths", &paths(start))]).is_empty());
        let late = actions(&[("units", RUNNING), exe, ("paths", &paths(start + 1))]);
        assert_eq!(late[0].0, Action::Restart);
        let old = ("exe", "/usr/local/lib/zkprov/coordinator-0 (deleted)");
        let other = actions(&[("units", RUNNING), old, ("paths", &paths(0))]);
        assert_eq!(
            other,
            [(
                Action::Restart,
                Reason::Stale(Stale::Binary("/usr/local/lib/zkprov/coordinator-0".into()))
            )]
        );
    }

    #[test]
    fn units_are_read_anew_only_where_systemd_has_read_them() {
        let operations = |units: &str, changed: &[&Subject]| {
            let changed: Vec<Subject> = changed.iter().map(|&subject| subject.clone()).collect();
            let Difference::Changes(changes) =
                service().differ(&Observed::of([("units", units)]), &changed)
            else {
                panic!("there is something to do")
            };
            changes.into_iter().map(|change| change.operation).collect::<Vec<_>>()
        };
        let unit = &Subject::File("/etc/systemd/system/zookeeper.service".into());
        let fstab = &Subject::Fstab;
        let bare = "Id=zookeeper.service\nLoadState=not-found\nActiveState=inactive\n";
        let name = || "zookeeper.service".to_owned();
        let enable = || Operation::EnableUnit { unit: name(), reload: false };
        let start = || Operation::StartUnit { unit: name(), again: false };
        let reload = Operation::ReloadUnits;
        assert_eq!(operations(bare, &[unit, fstab]), [enable(), start()]);
        let swap = format!("{bare}\nId=a.swap\nLoadState=loaded\nSourcePath=/etc/fstab\n");
        assert_eq!(operations(&swap, &[unit]), [enable(), start()]);
        assert_eq!(operations(&swap, &[unit, fstab]), [enable(), reload.clone(), start()]);
        let loaded = bare.replace("not-found", "loaded");
        assert_eq!(operations(&loaded, &[unit]), [enable(), reload.clone(), start()]);
        assert_eq!(
            operations(&loaded, &[]),
            [Operation::EnableUnit { unit: name(), reload: true }, start()]
        );
    }

    #[test]
    fn a_unit_that_ends_again_and_again_does_not_run() {
        let unit = |state: &str, restarts: u32| {
            RUNNING.replace("ActiveState=active", state)
                + &format!("NRestarts={restarts}\nResult=exit-code\n")
        };
        let start = timestamp("Wed 2026-11-25 10:59:17 UTC").expect("a time");
        let exe = ("exe", "/usr/local/lib/zkprov/coordinator-1");
        let planned = |unit: &str, after_s: i64| {
            let clock = format!("{}.5", start + after_s);
            actions(&[("units", unit), exe, ("clock", &clock)])
        };
        let waiting = planned(&unit("ActiveState=activating\nSubState=auto-restart", 7), 1);
        assert_eq!(
            waiting,
            [(Action::Start, Reason::Crashing { times: 7, result: "exit-code".into() })]
        );
        assert_eq!(
            planned(&unit("ActiveState=activating\nSubState=start", 1), 1)[0].0,
            Action::Start
        );
        assert!(
            planned(&unit("ActiveState=activating\nSubState=start", 0), 1).is_empty(),
            "its first start"
        );
        assert_eq!(planned(&unit("ActiveState=active", 3), 5)[0].0, Action::Start);
        assert!(planned(&unit("ActiveState=active", 3), 500).is_empty(), "it has recovered");
    }

    #[test]
    fn what_drop_ins_change_is_said() {
        let said = |units: &str, ready: &str| {
            service().notes(&Observed::of([("units", units), ("dropins", ready)]))
        };
        let path = "/etc/systemd/system/zookeeper.service.d/a.conf";
        let ready = said(
            "Id=zookeeper.service\nLoadState=not-found\n",
            &format!("zookeeper.service {path}\n"),
        );
        assert_eq!(
            ready,
            [format!("zookeeper.service will have drop-ins that lie ready for it: {path}")]
        );
        let units = format!("{RUNNING}DropInPaths={path}\nUser=root\nNoNewPrivileges=yes\n");
        let altered = said(&units, "");
        assert_eq!(
            altered[1],
            "zookeeper.service runs with User=root instead of kafka, by its drop-ins"
        );
    }

    #[test]
    fn what_is_somebody_elses_is_refused_by_name() {
        let refuse = |observed: &[(&str, &str)]| match service()
            .differ(&Observed::of(observed.iter().copied()), &[])
        {
            Difference::Refused { cause, .. } => cause,
            other => panic!("{other:?}"),
        };
        let ports = "LISTEN 0 50 *:2181 *:* users:((\"java\",pid=812,fd=56))\n";
        assert_eq!(refuse(&[("ports", ports)]), "port 2181 is taken by java (pid 812)");
        let masked = "Id=zookeeper.service\nLoadState=masked\n";
        assert_eq!(refuse(&[("units", masked)]), "zookeeper.service is masked");
        let foreign = "Id=zookeeper.service\nLoadState=loaded\nActiveState=active\n\
            FragmentPath=/lib/systemd/system/zookeeper.service\n";
        assert!(refuse(&[("units", foreign)]).contains("/lib/systemd/system/zookeeper.service"));
    }
}
