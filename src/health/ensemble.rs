//! How the ensemble is, as its hosts say: one [`Member`] for every host of the inventory, whether it
//! answers or not. Pure: what was observed in, a verdict out.

pub use coordinator::answers::Mode;
use coordinator::answers::Status;
use serde::Serialize;

use crate::inventory::{Host, Inventory, Role};
use crate::probe::Observed;

/// Operations a member may be behind the leader and still count as in step: under load the answers
/// of two servers are never of the same moment.
pub const LAG_MAX: i64 = 2_000;

/// One host of the inventory, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Member {
    pub host: String,
    pub myid: u8,
    pub votes: bool,
    /// Why it could not be asked.
    pub unreachable: Option<String>,
    /// `active`, `failed`…, as systemd says; empty when there is no unit.
    pub unit: String,
    pub main_pid: u32,
    /// Automatic restarts since somebody started it.
    pub restarts: u32,
    /// `None`: it does not serve.
    pub mode: Option<Mode>,
    /// Why it does not.
    pub error: Option<String>,
    pub zxid: Option<i64>,
    pub sessions: Option<i64>,
    pub connections: Option<i64>,
    pub nodes: Option<i64>,
    pub version: Option<String>,
    /// Of a leader: peers that follow it closely.
    pub synced: Option<i64>,
    /// Of a leader: how many votes there are, its own among them, as the ensemble itself counts. While
    /// members come and go that is not the inventory's number.
    pub electorate: Option<i64>,
}

impl Member {
    /// A host that has answered; the server is of `unit`.
    pub fn of(unit: &str, host: &Host, observed: &Observed) -> Self {
        let unit = observed.unit(unit);
        let mut member = Self {
            unit: unit.get("ActiveState").to_owned(),
            main_pid: unit.get("MainPID").parse().unwrap_or(0),
            restarts: unit.get("NRestarts").parse().unwrap_or(0),
            ..Self::silent(host, None)
        };
        member.unreachable = None;
        let text = observed.text("status");
        match serde_json::from_str::<Status>(text.lines().next().unwrap_or_default()) {
            Ok(status) => member.read(status),
            Err(_) if text.trim().is_empty() => {}
            Err(_) => member.error = Some(text.trim().to_owned()),
        }
        member
    }

    /// A host that has not.
    pub fn silent(host: &Host, why: Option<String>) -> Self {
        Self {
            host: host.name.clone(),
            myid: host.myid,
            votes: host.role == Role::Participant,
            unreachable: why.or_else(|| Some("not asked".into())),
            ..Self::default()
        }
    }

    /// One line of `coordinator status --json`.
    pub fn read(&mut self, status: Status) {
        self.mode = status.mode.filter(|mode| mode.serves());
        self.error = status.error;
        self.zxid = status.zxid;
        self.sessions = status.sessions;
        self.connections = status.connections;
        self.nodes = status.node_count;
        self.version = status.version;
        self.synced = status.peers.and_then(|peers| peers.synced);
        let others = status.peers.and_then(|peers| peers.voters_besides);
        self.electorate = others.map(|others| others + 1);
    }

    pub fn serves(&self) -> bool {
        self.mode.is_some()
    }

    pub fn epoch(&self) -> Option<i64> {
        self.zxid.map(|zxid| zxid >> 32)
    }
}

/// The whole ensemble at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub members: Vec<Member>,
    /// Only some of the members were looked at: of the others nothing can be said.
    pub partial: bool,
}

impl View {
    pub fn member(&self, host: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.host == host)
    }

    /// Voters that serve.
    pub fn voters_up(&self) -> usize {
        let listed = self.members.iter().filter(|member| member.votes && member.serves()).count();
        listed + self.unlisted_up()
    }

    /// How many votes there are: as the leader counts them, else as the inventory lists them. A member
    /// that joins has none yet, one that leaves has its own until it has left.
    pub fn voters(&self) -> usize {
        self.electorate().unwrap_or_else(|| self.listed())
    }

    /// Votes of members that the inventory does not list any more, whether they follow or not.
    pub fn unlisted(&self) -> usize {
        self.voters().saturating_sub(self.listed())
    }

    fn listed(&self) -> usize {
        self.members.iter().filter(|member| member.votes).count()
    }

    fn electorate(&self) -> Option<usize> {
        self.leader().and_then(|leader| leader.electorate).and_then(|votes| votes.try_into().ok())
    }

    /// Voters that the inventory does not list any more and that follow the leader.
    pub fn unlisted_up(&self) -> usize {
        let following = self.leader().and_then(|leader| leader.synced).unwrap_or(0);
        let others = self.members.iter().filter(|member| member.serves()).count() as i64 - 1;
        usize::try_from(following - others).unwrap_or(0).min(self.unlisted())
    }

    pub fn majority(&self) -> usize {
        self.voters() / 2 + 1
    }

    /// The leader, when exactly one says that it is.
    pub fn leader(&self) -> Option<&Member> {
        let mut leaders = self.leaders();
        match (leaders.next(), leaders.next()) {
            (Some(leader), None) => Some(leader),
            _ => None,
        }
    }

    pub fn leaders(&self) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(|member| matches!(member.mode, Some(Mode::Leader | Mode::Standalone)))
    }

    /// Operations a member is behind the newest; `None` when unknown, or across epochs. An epoch
    /// without a write yet is only the leader's: Apache ZooKeeper's followers show the zxid of the
    /// one before until the first write, though they have all that there is when they serve.
    pub fn lag(&self, member: &Member) -> Option<i64> {
        let newest = self.members.iter().filter_map(|member| member.zxid).max()?;
        let own = member.zxid?;
        if newest as u32 == 0 && own < newest && member.serves() {
            return Some(0);
        }
        (newest >> 32 == own >> 32).then_some(newest - own)
    }

    /// What the member on `host`, which a run has changed, still lacks; `None`: it serves, has caught up, and
    /// the leader counts it.
    pub fn lacks(&self, host: &str) -> Option<String> {
        let Some(member) = self.member(host) else { return Some("it was not asked".into()) };
        if let Some(why) = &member.unreachable {
            return Some(format!("it cannot be reached: {why}"));
        }
        if member.unit != "active" {
            let state = if member.unit.is_empty() { "not installed" } else { &member.unit };
            return Some(format!("its unit is {state}"));
        }
        if !member.serves() {
            return Some(member.error.clone().unwrap_or_else(|| "it does not serve yet".into()));
        }
        let Some(leader) = self.leader() else {
            return Some(format!("{} servers say that they lead", self.leaders().count()));
        };
        match self.lag(member) {
            Some(lag) if lag <= LAG_MAX => {}
            Some(lag) => return Some(format!("it is {lag} operations behind")),
            None => return Some("it is in another epoch than the leader".into()),
        }
        if leader.host == member.host {
            return None;
        }
        let others = self.members.iter().filter(|other| other.serves()).count() as i64 - 1;
        let synced = leader.synced.filter(|synced| *synced < others)?;
        Some(format!("the leader, {}, counts {synced} of {others} others as synced", leader.host))
    }

    /// Everything that keeps the ensemble from being healthy, in words.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for member in &self.members {
            let host = &member.host;
            if let Some(why) = &member.unreachable {
                complaints.push(format!("{host} is unreachable: {why}"));
            } else if member.main_pid == 0 {
                let state = if member.unit.is_empty() { "not installed" } else { &member.unit };
                complaints.push(format!("{host}: the service does not run ({state})"));
            } else if !member.serves() {
                let why = member.error.as_deref().unwrap_or("it gives no status");
                complaints.push(format!("{host} does not serve: {why}"));
            } else if self.lag(member).is_none_or(|lag| lag > LAG_MAX) {
                match self.lag(member) {
                    Some(lag) => complaints.push(format!("{host} is {lag} operations behind")),
                    None => complaints.push(format!("{host} is in another epoch")),
                }
            }
            if member.restarts > 0 && member.unit == "activating" {
                let times = member.restarts;
                complaints.push(format!(
                    "{host}: the service ends again and again, {times} times so far"
                ));
            }
            if member.mode == Some(Mode::Standalone) && self.members.len() > 1 {
                complaints.push(format!("{host} runs alone, as a standalone server"));
            }
        }
        let leaders: Vec<&str> = self.leaders().map(|leader| leader.host.as_str()).collect();
        match leaders.len() {
            1 => {}
            // Who leads may be one that was not asked; a follower that serves has a leader.
            0 if self.partial => {}
            0 => complaints.push(format!(
                "no leader: {} of {} voters serve, {} are needed",
                self.voters_up(),
                self.voters(),
                self.majority()
            )),
            _ => complaints.push(format!("{} say that they lead", leaders.join(" and "))),
        }
        complaints
    }
}

/// A view of all hosts of the inventory, from those that were asked.
pub fn view<'a>(
    inventory: &Inventory,
    observed: impl Fn(&Host) -> Option<&'a Observed>,
    unreachable: impl Fn(&Host) -> Option<String>,
) -> View {
    let members = inventory.members().map(|host| match observed(host) {
        Some(observed) => Member::of(inventory.unit(), host, observed),
        None => Member::silent(host, unreachable(host)),
    });
    View { members: members.collect(), partial: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str, mode: Option<Mode>, zxid: i64) -> Member {
        Member {
            host: host.into(),
            votes: true,
            main_pid: 7,
            unit: "active".into(),
            mode,
            zxid: Some(zxid),
            ..Member::default()
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        let view = View {
            members: vec![
                member("a", Some(Mode::Leader), 0x2_0000_1000),
                member("b", Some(Mode::Follower), 0x2_0000_0fff),
                member("c", Some(Mode::Follower), 0x1_0000_0fff),
                member("d", None, 0),
                Member { main_pid: 0, unit: "failed".into(), ..member("e", None, 0) },
            ],
            partial: false,
        };
        assert_eq!(
            view.complaints(),
            [
                "c is in another epoch",
                "d does not serve: it gives no status",
                "e: the service does not run (failed)"
            ]
        );
        assert_eq!(view.lag(&view.members[1]), Some(1));
        let split = View {
            members: vec![member("a", Some(Mode::Leader), 1), member("b", Some(Mode::Leader), 1)],
            partial: false,
        };
        assert_eq!(split.complaints(), ["a and b say that they lead"]);
        assert!(split.leader().is_none());
    }

    #[test]
    fn an_epoch_without_a_write_is_the_leaders_alone() {
        let silent = |follower| View {
            members: vec![
                member("a", Some(Mode::Leader), 0x3_0000_0000),
                member("b", follower, 0x2_0000_0fff),
            ],
            partial: false,
        };
        assert!(silent(Some(Mode::Follower)).complaints().is_empty());
        let view = silent(None);
        assert_eq!(view.lag(&view.members[1]), None, "it serves nobody yet");
    }

    #[test]
    fn a_part_of_the_members_says_nothing_of_who_leads() {
        let mut view = View { members: vec![member("b", Some(Mode::Follower), 1)], partial: true };
        assert!(view.complaints().is_empty(), "{:?}", view.complaints());
        view.partial = false;
        assert_eq!(view.complaints(), ["no leader: 1 of 1 voters serve, 1 are needed"]);
    }

    #[test]
    fn a_member_that_was_changed_serves_has_caught_up_and_is_counted() {
        let view = |synced, unit: &str, mode| {
            let mut leader = member("a", Some(Mode::Leader), 0x1_0000_4000);
            leader.synced = Some(synced);
            let mut other = member("b", mode, 0x1_0000_4000);
            other.unit = unit.into();
            View { members: vec![leader, other], partial: false }
        };
        let serving = Some(Mode::Follower);
        assert_eq!(view(1, "active", serving).lacks("b"), None);
        let lacks = |view: View| view.lacks("b").expect("it lacks something");
        assert!(lacks(view(0, "active", serving)).contains("counts 0 of 1"));
        assert_eq!(lacks(view(1, "activating", serving)), "its unit is activating");
        assert_eq!(lacks(view(1, "active", None)), "it does not serve yet");
        let mut behind = view(1, "active", serving);
        behind.members[1].zxid = Some(0x1_0000_0001);
        assert_eq!(lacks(behind), "it is 16383 operations behind");
    }

    #[test]
    fn a_status_line_is_read() {
        let mut member = Member::default();
        let line = r#"{"server":"127.0.0.1:2181","serving":true,"mode":"leader","zxid":"0x200000003",
            "sessions":1,"connections":2,"nodeCount":5,"peers":{"connected":2,"synced":2}}"#;
        member.read(serde_json::from_str(line).expect("JSON"));
        assert_eq!(member.mode, Some(Mode::Leader));
        assert_eq!((member.zxid, member.epoch()), (Some(0x2_0000_0003), Some(2)));
        assert_eq!(member.synced, Some(2));
    }
}
