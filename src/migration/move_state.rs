//! Which server may run on each host, as the hosts say, and what a move may do from there: pure.
//!
//! A host goes one way at a time: zookeeper → fenced → coordinator → sealed → zookeeper, or back from where it
//! stands between the two. Ours serves only with a majority of hosts that are `coordinator`, Apache's only
//! with a majority that are `zookeeper`; two majorities share a host, and a host is one of them. So whatever
//! is killed at whatever moment, never do two ensembles serve.

use std::collections::BTreeSet;

/// Who may run on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Zookeeper,
    /// Apache's is dead, ours not opened.
    Fenced,
    Coordinator,
    /// Ours has ended, Apache's is not started.
    Sealed,
}

/// One host, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    pub host: String,
    pub votes: bool,
    pub side: Side,
    /// The last move that has changed something there.
    pub id: String,
}

impl HostState {
    /// The fact `move`: side and id.
    pub fn of(host: &str, votes: bool, text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let side = match words.next() {
            // There was never a move.
            None | Some("zookeeper") => Side::Zookeeper,
            Some("fenced") => Side::Fenced,
            Some("coordinator") => Side::Coordinator,
            Some("sealed") => Side::Sealed,
            Some(_) => return None,
        };
        let id = words.next().unwrap_or_default();
        // It is a word of ours, and goes back into scripts: nothing else is taken for one.
        let plain = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain.then(|| Self { host: host.to_owned(), votes, side, id: id.to_owned() })
    }
}

/// What a move does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Begin,
    /// The servers of one side are stopped: from the first step after that on, with this id.
    Resume(String),
    /// A host has been opened or returned, so that all had come so far: the others follow.
    Complete(String),
    Nothing,
    Refused(String),
}

/// Hosts that vote and are so.
fn voters(states: &[HostState], is: impl Fn(&HostState) -> bool) -> usize {
    states.iter().filter(|state| state.votes && is(state)).count()
}

fn ids(states: &[HostState], side: Side) -> BTreeSet<&str> {
    states.iter().filter(|state| state.side == side).map(|state| state.id.as_str()).collect()
}

/// Towards the coordinator. `majority` is of all voters; every host has answered.
pub fn forth(states: &[HostState], majority: usize) -> Next {
    if states.iter().any(|state| state.side == Side::Sealed) {
        let why = "a move to Apache ZooKeeper is under way: `--to zookeeper` goes on with it, `--undo` ends it";
        return Next::Refused(why.into());
    }
    toward(states, majority, Side::Zookeeper, Side::Fenced, Side::Coordinator)
}

/// Towards Apache ZooKeeper.
pub fn back(states: &[HostState], majority: usize) -> Next {
    if states.iter().any(|state| state.side == Side::Fenced) {
        let why = "a move to the coordinator is under way: `--to coordinator` goes on with it, `--undo` ends it";
        return Next::Refused(why.into());
    }
    toward(states, majority, Side::Coordinator, Side::Sealed, Side::Zookeeper)
}

fn toward(states: &[HostState], majority: usize, from: Side, between: Side, to: Side) -> Next {
    let (stopped, arrived) = (ids(states, between), ids(states, to));
    let Some(id) = stopped.first() else {
        let left = states.iter().filter(|state| state.side == from).count();
        if left == states.len() {
            return Next::Begin;
        }
        if left == 0 {
            return Next::Nothing;
        }
        // No host is between the two: one was away while the others went all the way.
        return if voters(states, |state| state.side == to) >= majority {
            Next::Refused(
                "some hosts were left behind by a move that is over: they hold old data. Nothing was changed".into(),
            )
        } else {
            Next::Refused(
                "the hosts are of both sides, and none has a majority: `--undo` first".into(),
            )
        };
    };
    if stopped.len() > 1 {
        return Next::Refused("two moves have stopped hosts: `--undo` first".into());
    }
    if arrived.contains(id) {
        return Next::Complete((*id).to_owned());
    }
    // Whoever has gone back by this move has undone it.
    let undone = voters(states, |state| state.side == from && state.id == *id);
    if undone > 0 && undone >= majority {
        return Next::Refused("this move is being undone: `--undo` goes on with it".into());
    }
    Next::Resume((*id).to_owned())
}

/// Who can be sent back where it came from, by which move, and to which side; hosts that do not answer are not
/// among `states`.
pub fn undo(states: &[HostState], majority: usize) -> Result<(String, Side), String> {
    let between = states.iter().find(|state| matches!(state.side, Side::Fenced | Side::Sealed));
    // All but a few that were opened have gone back already.
    let early = states.iter().find(|state| {
        let undone = |other: &HostState| other.side == Side::Zookeeper && other.id == state.id;
        state.side == Side::Coordinator && voters(states, undone) >= majority
    });
    let Some(between) = between.or(early) else {
        return Err("no move is under way: nothing is to be undone".into());
    };
    let (from, to) = match between.side {
        Side::Sealed => (Side::Coordinator, Side::Zookeeper),
        _ => (Side::Zookeeper, Side::Coordinator),
    };
    let returned = |state: &HostState| state.side == Side::Zookeeper && state.id == between.id;
    if from == Side::Coordinator && states.iter().any(returned) {
        return Err(
            "a host has gone back to Apache ZooKeeper already: `--to zookeeper` goes on with it"
                .into(),
        );
    }
    let arrived = voters(states, |state| state.side == to && state.id == between.id);
    // A host that does not answer may have arrived: only a majority that has not can tell that nobody serves there.
    let known = voters(states, |state| state.side != to);
    if known < majority {
        let (named, way) = match to {
            Side::Coordinator => ("the coordinator", "--to zookeeper"),
            _ => ("Apache ZooKeeper", "--to coordinator"),
        };
        return Err(format!(
            "{arrived} of the voters have been opened for {named}, and {known} are known not to be; it takes {majority} \
             of these to be sure that it has not served. Bring back who does not answer, or go on and then \
             back by `{way}`"
        ));
    }
    Ok((between.id.clone(), from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `z`, `f`, `c`, `s`, each with the move's number.
    fn states(text: &str) -> Vec<HostState> {
        let state = |word: &str| {
            let side = match &word[..1] {
                "z" => "zookeeper",
                "f" => "fenced",
                "c" => "coordinator",
                _ => "sealed",
            };
            HostState::of(word, true, &format!("{side} {}", &word[1..])).expect("a state")
        };
        text.split_whitespace().map(state).collect()
    }

    #[test]
    fn what_a_move_does_next() {
        let cases = [
            ("z z z", Next::Begin),
            ("z1 z1 z1", Next::Begin),
            ("f1 z z", Next::Resume("1".into())),
            ("f1 f1 f1", Next::Resume("1".into())),
            ("f1 f1 c1", Next::Complete("1".into())),
            ("f1 c1 c1", Next::Complete("1".into())),
            ("c1 c1 c1", Next::Nothing),
        ];
        for (text, next) in cases {
            assert_eq!(forth(&states(text), 2), next, "{text}");
        }
        for text in ["f1 f2 z", "s2 c1 c1", "z1 z1 f1", "z c1 c1", "z z c1"] {
            assert!(matches!(forth(&states(text), 2), Next::Refused(_)), "{text}");
        }
        assert_eq!(back(&states("c1 c1 c1"), 2), Next::Begin);
        assert_eq!(back(&states("s2 c1 s2"), 2), Next::Resume("2".into()));
        assert_eq!(back(&states("s2 z2 s2"), 2), Next::Complete("2".into()));
        assert_eq!(back(&states("z2 z2 z2"), 2), Next::Nothing);
    }

    #[test]
    fn what_can_be_undone() {
        let ok = |text: &str| undo(&states(text), 2);
        assert_eq!(ok("f1 f1 f1"), Ok(("1".into(), Side::Zookeeper)));
        assert_eq!(
            ok("f1 f1 c1"),
            Ok(("1".into(), Side::Zookeeper)),
            "a minority cannot have served"
        );
        assert_eq!(ok("z1 f1 c1"), Ok(("1".into(), Side::Zookeeper)));
        assert_eq!(ok("z1 z1 c1"), Ok(("1".into(), Side::Zookeeper)), "a host was away");
        assert_eq!(ok("s1 s1"), Ok(("1".into(), Side::Coordinator)), "one does not answer");
        for text in ["f1 c1 c1", "f1", "f1 c1", "z z z", "c1 c1 c1", "s2 z2 s2"] {
            assert!(ok(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_is_a_word_of_ours() {
        assert_eq!(HostState::of("a", true, "fenced m-1; reboot"), None);
        assert_eq!(HostState::of("a", true, "opened m"), None);
        assert!(HostState::of("a", true, "").is_some_and(|state| state.side == Side::Zookeeper));
    }

    /// No state in which ours may serve can be sent back, and none in which Apache's may serve be opened.
    #[test]
    fn no_two_majorities() {
        let words = ["z1", "f1", "c1"];
        for a in words {
            for b in words {
                for c in words {
                    let all = states(&format!("{a} {b} {c}"));
                    let opened = voters(&all, |state| state.side == Side::Coordinator);
                    let back = voters(&all, |state| state.side == Side::Zookeeper);
                    if opened >= 2 {
                        assert!(undo(&all, 2).is_err(), "{a} {b} {c}");
                    }
                    if back == 2 {
                        let next = forth(&all, 2);
                        assert!(
                            !matches!(next, Next::Complete(_)) || opened > 0,
                            "{a} {b} {c}: {next:?}"
                        );
                    }
                }
            }
        }
    }
}
