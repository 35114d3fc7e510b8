//! The rolling restart as a pure machine: a view of the ensemble and the time in; what to do next, a
//! wait, a refusal or a stop out. It never acts on anything but the newest view.
//!
//! The order is that of the best rollers: what is down first, then observers, followers by id, the
//! leader last and once, with its leadership handed over before. The gates are stricter: a member
//! counts as back when it serves, has caught up with what the leader had, is counted by the leader, and
//! has stayed so for a while.

use crate::health::ensemble::{LAG_MAX, Member, Mode, View};
use crate::rolling::gate::{CRASHES_MAX, Gate, Machine, Next, PAUSE_MS, Pace, Restarted, Target};

/// What holds for one roll.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long the ensemble may take to be well before a member's turn, and a member to come back.
    pub gate_timeout_ms: u64,
    /// How long a member must have stayed well before the next one's turn.
    pub settle_ms: u64,
    /// One or two voters cannot be restarted without losing the quorum: a person has said yes to it.
    pub allow_quorum_loss: bool,
    /// The engine can hand its leadership over.
    pub transfer: bool,
    /// An ensemble in which nobody serves may be restarted: what it runs is changed so that it can.
    pub dark: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Current {
    restarted: Restarted,
    /// What the ensemble had before: the member must have it, too.
    floor_zxid: i64,
    /// Nobody can serve before further voters are restarted, too: only the process is waited for.
    first_in_the_dark: bool,
}

#[derive(Clone, Debug)]
pub struct Roll {
    policy: Policy,
    pending: Vec<Target>,
    current: Option<Current>,
    gate: Gate,
    /// Leadership is asked to be handed over once per roll; hopping helps nobody.
    transferred: bool,
    /// Voters that were restarted while nobody served.
    in_the_dark: usize,
}

impl Roll {
    pub fn new(policy: Policy, targets: Vec<Target>) -> Self {
        Self {
            policy,
            pending: targets,
            current: None,
            gate: Gate::default(),
            transferred: !policy.transfer,
            in_the_dark: 0,
        }
    }

    /// Whose turn it is, by the newest view: a follower that has become leader goes to the end.
    fn candidate(&self, view: &View) -> Option<Target> {
        let rank = |target: &&Target| match view.member(&target.host) {
            None => (0, 0),
            Some(member) => match member.mode {
                None | Some(Mode::ReadOnly) => (0, member.myid),
                Some(Mode::Observer) => (1, member.myid),
                Some(Mode::Follower) => (2, member.myid),
                Some(Mode::Leader | Mode::Standalone) => (3, member.myid),
            },
        };
        self.pending.iter().min_by_key(rank).cloned()
    }

    /// Why the member must not be taken down now.
    fn closed(&self, view: &View, member: &Member) -> Option<String> {
        if !member.serves() {
            // It is down: starting it takes nothing away from anybody, where the others are led.
            return self.leaderless(view);
        }
        if let Some(why) = out_of_step(view).into_iter().next() {
            return Some(why);
        }
        let left = view.voters_up() - usize::from(member.votes);
        let alone = self.policy.allow_quorum_loss;
        if member.votes && left < view.majority() && !alone {
            return Some(format!(
                "{left} of {} voters would serve without {}, and {} are needed",
                view.voters(),
                member.host,
                view.majority()
            ));
        }
        None
    }

    /// Whether nobody leads at this moment: an election may be under way, which another restart would not
    /// help.
    fn leaderless(&self, view: &View) -> Option<String> {
        let accepted = self.policy.allow_quorum_loss
            || (self.policy.dark && !view.members.iter().any(Member::serves));
        match view.leaders().count() {
            1 => None,
            0 if accepted => None,
            0 => Some("no server leads".into()),
            _ => out_of_step(view).into_iter().next(),
        }
    }

    /// Nobody has come to lead: see [`Policy::dark`].
    pub fn accept_dark(&mut self) {
        self.policy.dark = true;
    }

    /// Whether the member that was restarted is back, and has stayed so.
    fn gate_after(&mut self, view: &View, now_ms: u64) -> Next {
        let Some(current) = &mut self.current else { return Next::Finished };
        let host = current.restarted.host.clone();
        let member = view.member(&host);
        if let Some(why) = member.and_then(crashing) {
            return Next::Failed { host, why };
        }
        let missing = missing(current, view, member);
        let pace = Pace {
            timeout_ms: self.policy.gate_timeout_ms,
            settle_ms: self.policy.settle_ms,
            pause_ms: PAUSE_MS,
        };
        let alone = current.first_in_the_dark;
        let back = format!("{host} {}", if alone { "runs" } else { "is back" });
        match current.restarted.judge(missing, &back, pace, now_ms) {
            Next::Back { host, .. } => {
                self.current = None;
                Next::Back { host, alone }
            }
            next => next,
        }
    }
}

impl Machine for Roll {
    type View = View;

    fn preflight(&self, view: &View) -> Vec<String> {
        let is_target = |member: &Member| self.pending.iter().any(|t| t.host == member.host);
        let mut reasons: Vec<String> = Vec::new();
        let serving_targets =
            view.members.iter().any(|member| is_target(member) && member.serves() && member.votes);
        for member in view.members.iter().filter(|member| is_target(member)) {
            if let Some(why) = &member.unreachable {
                reasons.push(format!("{} is to be restarted and unreachable: {why}", member.host));
            }
        }
        if view.members.iter().any(Member::serves) {
            reasons.extend(out_of_step(view));
        } else {
            reasons.extend(self.leaderless(view));
        }
        // Those that are down and will be started come back before a serving one's turn.
        let coming = view
            .members
            .iter()
            .filter(|member| is_target(member) && member.votes && !member.serves())
            .count();
        let left = (view.voters_up() + coming).saturating_sub(1);
        if serving_targets && left < view.majority() && !self.policy.allow_quorum_loss {
            reasons.push(format!(
                "with one voter down, {left} of {} would be left, and {} are needed",
                view.voters(),
                view.majority()
            ));
        }
        reasons
    }

    fn next(&mut self, view: &View, now_ms: u64) -> Next {
        if self.current.is_some() {
            return self.gate_after(view, now_ms);
        }
        let Some(target) = self.candidate(view) else { return Next::Finished };
        let Some(member) = view.member(&target.host) else {
            return Next::Refused { why: format!("{} is not in the ensemble's view", target.host) };
        };
        if let Some(why) = self.closed(view, member) {
            return self.gate.wait(self.policy.gate_timeout_ms, now_ms, why);
        }
        self.gate.open();
        let others_vote = view.voters_up() > 1;
        if member.mode == Some(Mode::Leader) && others_vote && !self.transferred {
            return Next::Transfer { host: target.host };
        }
        Next::Restart { host: target.host, why: target.why }
    }

    fn restarted(&mut self, host: &str, before: &View, now_ms: u64) {
        self.pending.retain(|target| target.host != host);
        let member = before.member(host);
        let old_pid = member.map_or(0, |member| member.main_pid);
        let votes = |host: &str| before.member(host).is_some_and(|member| member.votes);
        let dark = self.policy.dark && !before.members.iter().any(Member::serves);
        self.in_the_dark = if dark { self.in_the_dark + usize::from(votes(host)) } else { 0 };
        // With the pending ones they could be a majority: none of them serves before.
        let pending = self.pending.iter().filter(|target| votes(&target.host)).count();
        let first_in_the_dark = dark
            && self.in_the_dark < before.majority()
            && self.in_the_dark + pending >= before.majority();
        self.current = Some(Current {
            restarted: Restarted::new(host, old_pid, now_ms),
            first_in_the_dark,
            floor_zxid: before.members.iter().filter_map(|member| member.zxid).max().unwrap_or(0),
        });
    }

    fn transferred(&mut self) {
        self.transferred = true;
    }

    fn pending(&self) -> &[Target] {
        &self.pending
    }
}

/// A process that ends again and again is not waited for.
fn crashing(member: &Member) -> Option<String> {
    if member.unit == "failed" {
        return Some("the service failed".into());
    }
    (member.restarts >= CRASHES_MAX)
        .then(|| format!("it has ended {} times since the restart", member.restarts))
}

/// What the member still lacks.
fn missing(current: &Current, view: &View, member: Option<&Member>) -> Option<String> {
    let Some(member) = member else { return Some("it is not in the view".into()) };
    if let Some(why) = &member.unreachable {
        return Some(format!("unreachable: {why}"));
    }
    if member.main_pid == 0 || member.main_pid == current.restarted.old_pid {
        return Some("the new process does not run yet".into());
    }
    if current.first_in_the_dark {
        return None;
    }
    if !member.serves() {
        return Some(member.error.clone().unwrap_or_else(|| "it does not serve yet".into()));
    }
    // A leader that was restarted leads again only in a later term, and the pid above is a new one: that
    // one server leads now says that an election has been won since.
    let Some(leader) = view.leader() else {
        return Some(leaders(view).unwrap_or_default());
    };
    // Where the leader's epoch has no write yet, a follower that serves shows what came before it.
    let lag = view.lag(member);
    if lag != Some(0) && member.zxid.is_none_or(|zxid| zxid < current.floor_zxid) {
        return Some(format!("it has not caught up to {:#x}", current.floor_zxid));
    }
    if lag.is_none_or(|lag| lag > LAG_MAX) {
        return Some("it is behind the leader".into());
    }
    if leader.host != member.host {
        // Others that serve, this member among them.
        let others = view.members.iter().filter(|other| other.serves()).count() as i64 - 1;
        if let Some(synced) = leader.synced.filter(|synced| *synced < others) {
            return Some(format!("the leader counts {synced} of {others} others as synced"));
        }
        if let (Some(own), Some(of_leader)) = (member.nodes, leader.nodes) {
            // The two answers are not of the same moment.
            if (own - of_leader).abs() > of_leader / 100 + 1000 {
                return Some(format!("it has {own} znodes, the leader {of_leader}"));
            }
        }
    }
    None
}

/// What is wrong unless exactly one server leads.
fn leaders(view: &View) -> Option<String> {
    let leaders: Vec<&str> = view.leaders().map(|leader| leader.host.as_str()).collect();
    match leaders[..] {
        [_] => None,
        [] => Some("no server leads".to_owned()),
        _ => Some(format!("{} say that they lead", leaders.join(" and "))),
    }
}

/// What is wrong among the members that serve.
fn out_of_step(view: &View) -> Vec<String> {
    let mut reasons: Vec<String> = leaders(view).into_iter().collect();
    for member in view.members.iter().filter(|member| member.serves()) {
        if member.mode == Some(Mode::Standalone) && view.voters() > 1 {
            reasons.push(format!("{} runs alone, as a standalone server", member.host));
        }
        match view.lag(member) {
            Some(lag) if lag <= LAG_MAX => {}
            Some(lag) => reasons.push(format!("{} is {lag} operations behind", member.host)),
            None => reasons.push(format!("{} is in another epoch", member.host)),
        }
    }
    if let Some(leader) = view.leader() {
        let others = view.members.iter().filter(|member| member.serves()).count() as i64 - 1;
        if let Some(synced) = leader.synced.filter(|synced| *synced < others) {
            reasons.push(format!("the leader counts {synced} of {others} others as synced"));
        }
    }
    reasons
}
