//! Members of an ensemble: servers that restart, crash, lag and elect.

use std::cell::Cell;

use zkprov::health::ensemble::{Member, Mode, View};
use zkprov::rolling::gate::Target;
use zkprov::rolling::members::{Policy, Roll};
use zkprov::rolling::service::Service;

use super::{Options, World};

/// Processes that were there before the roll have lower numbers.
const FIRST_PID: u32 = 1000;
/// A started server serves after this time.
const BOOT_MS: u64 = 400;

#[derive(Debug)]
pub(super) struct Members {
    view: View,
    next_pid: u32,
    /// Without it a server that was started serves, led or not.
    wants_a_majority: bool,
    /// Servers that are on their way, and when they serve.
    booting: Vec<(String, u64)>,
    /// The engine can hand its leadership over, and each server shows the epoch of its leader at once.
    ours: bool,
    /// Fewest voters that served at any look.
    fewest: Cell<usize>,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            view: View::default(),
            next_pid: FIRST_PID,
            wants_a_majority: false,
            booting: Vec::new(),
            ours: true,
            fewest: Cell::new(usize::MAX),
        }
    }
}

/// What a server is after a word of a case.
fn mode(word: &str) -> Option<Mode> {
    let mode = Mode::from_word(word);
    assert!(mode.is_some() || word == "down", "`{word}` is no state");
    mode
}

impl Members {
    fn member(&mut self, host: &str) -> &mut Member {
        let of = |member: &&mut Member| member.host == host;
        self.view.members.iter_mut().find(of).unwrap_or_else(|| panic!("no member {host}"))
    }

    fn newest(&self) -> Option<i64> {
        self.view.members.iter().filter_map(|member| member.zxid).max()
    }

    fn lead(&mut self, host: &str) {
        for member in &mut self.view.members {
            if member.mode == Some(Mode::Leader) {
                member.mode = Some(Mode::Follower);
            }
        }
        let epoch = self.newest().map(|zxid| ((zxid >> 32) + 1) << 32);
        for member in &mut self.view.members {
            // Followers of Apache ZooKeeper show the epoch from its first write on.
            if member.mode.is_some() && (self.ours || member.host == host) {
                member.zxid = epoch;
            }
        }
        self.member(host).mode = Some(Mode::Leader);
    }

    /// Servers of this roll serve when they are a majority.
    fn elect(&mut self, now_ms: u64) {
        let fresh = |member: &&mut Member| member.votes && member.main_pid > FIRST_PID;
        if self.view.members.iter_mut().filter(fresh).count() < self.view.majority() {
            return;
        }
        let hosts: Vec<String> =
            self.view.members.iter_mut().filter(fresh).map(|member| member.host.clone()).collect();
        for host in &hosts {
            let member = self.member(host);
            (member.mode, member.zxid) = (Some(Mode::Follower), Some(0x1_0000_0010));
            self.booting.push((host.clone(), now_ms + BOOT_MS));
        }
        self.lead(&hosts[0]);
    }

    /// The first other server that serves, with a vote.
    fn heir(&self, host: &str) -> Option<String> {
        let can = |m: &&Member| m.host != host && m.votes && m.serves();
        self.view.members.iter().find(can).map(|member| member.host.clone())
    }

    /// Servers that have booted by now serve.
    fn booted(&self, now_ms: u64) -> View {
        let mut view = self.view.clone();
        for (host, at_ms) in &self.booting {
            if now_ms < *at_ms
                && let Some(member) = view.members.iter_mut().find(|member| member.host == *host)
            {
                (member.mode, member.zxid) = (None, None);
                member.error =
                    Some("cannot be asked: Connection refused (os error 111)".to_owned());
            }
        }
        view
    }
}

impl World for Members {
    type Machine = Roll;

    fn line(&mut self, line: &str) -> bool {
        let number = u8::try_from(self.view.members.len() + 1).expect("a small ensemble");
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["elections"] => self.wants_a_majority = true,
            ["engine", engine] => self.ours = engine == "coordinator",
            [host, word] => {
                let mode = mode(word);
                self.view.members.push(Member {
                    host: host.to_owned(),
                    myid: number,
                    votes: word != "observer",
                    unit: if mode.is_some() { "active" } else { "inactive" }.to_owned(),
                    main_pid: mode.map_or(0, |_| 100 + u32::from(number)),
                    mode,
                    zxid: mode.map(|_| 0x1_0000_0010),
                    ..Member::default()
                });
            }
            _ => return false,
        }
        true
    }

    fn service(&self) -> Service {
        Service::members("zookeeper.service")
    }

    fn machine(&self, options: &Options, targets: Vec<Target>) -> Roll {
        let policy = Policy {
            gate_timeout_ms: 300_000,
            settle_ms: options.settle_ms,
            allow_quorum_loss: options.allow_quorum_loss,
            transfer: self.ours,
            dark: options.dark,
        };
        Roll::new(policy, targets)
    }

    fn view(&self, now_ms: u64) -> View {
        let view = self.booted(now_ms);
        self.fewest.set(self.fewest.get().min(view.voters_up()));
        view
    }

    fn transfer(&mut self, host: &str) {
        let heir = self.heir(host).expect("another");
        self.lead(&heir);
    }

    /// The process is replaced; a leader's place is taken by the first follower.
    fn restart(&mut self, host: &str, now_ms: u64) {
        let dark = self.wants_a_majority && !self.view.members.iter().any(Member::serves);
        let led = self.member(host).mode == Some(Mode::Leader);
        let alone = self.view.members.len() == 1;
        self.next_pid += 1;
        let pid = self.next_pid;
        let member = self.member(host);
        member.main_pid = pid;
        member.unit = "active".into();
        if dark && !alone {
            member.error = Some("cannot be asked: Connection refused (os error 111)".to_owned());
            return self.elect(now_ms);
        }
        member.mode = Some(match () {
            () if alone => Mode::Standalone,
            () if member.votes => Mode::Follower,
            () => Mode::Observer,
        });
        if let Some(heir) = self.heir(host).filter(|_| led) {
            self.lead(&heir);
        }
        if self.ours || self.member(host).zxid.is_none() {
            self.member(host).zxid = self.newest();
        }
        self.booting.push((host.to_owned(), now_ms + BOOT_MS));
    }

    fn befalls(&mut self, host: &str, what: &str) {
        self.booting.retain(|(booting, _)| booting != host);
        if what == "leads" {
            return self.lead(host);
        }
        let newest = self.newest();
        self.next_pid += 1;
        let pid = self.next_pid;
        let member = self.member(host);
        match what.split(' ').collect::<Vec<_>>()[..] {
            ["says", "that", "it", "leads"] => member.mode = Some(Mode::Leader),
            ["ends", times, "times"] => {
                (member.mode, member.zxid) = (None, None);
                member.restarts = times.parse().expect("a number");
            }
            ["fails"] => (member.mode, member.zxid, member.unit) = (None, None, "failed".into()),
            ["lags", operations] => {
                let operations: i64 = operations.parse().expect("a number");
                member.zxid = newest.map(|zxid| zxid - operations);
            }
            ["catches", "up"] => member.zxid = newest,
            ["counts", votes, "votes,", synced, "synced"] => {
                member.electorate = votes.parse().ok();
                member.synced = synced.parse().ok();
            }
            [word] => {
                let mode = mode(word);
                member.mode = mode;
                member.zxid = mode.and(newest);
                member.main_pid = match (mode, member.main_pid) {
                    (None, _) => 0,
                    (Some(_), 0) => pid,
                    (Some(_), running) => running,
                };
            }
            _ => panic!("`{what}` is no event"),
        }
    }

    fn bound(&self) -> String {
        format!("fewest voters serving at once: {} of {}", self.fewest.get(), self.view.voters())
    }
}
