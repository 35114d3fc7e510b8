//! Which secrets the members of an ensemble accept, and which they shall accept next. Two members link when
//! they have a secret in common, so a secret is added or replaced by two rolls: by the first one every
//! member accepts old and new, by the second one the new one alone. Pure.

use std::fmt;

use crate::inventory::Secret;
use crate::layout::{CONFIG_FILE, SECRET_FILE, UNIT};
use crate::plan::resource::service;
use crate::probe::Observed;

/// As many as the coordinator takes in one file.
const KEYS_MAX: usize = 8;
/// Stands in a file of several for "no secret".
const NONE: &str = "none";

/// The secrets that one member accepts, the oldest first. Does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring(Vec<String>);

impl Ring {
    /// One secret a line, as the coordinator reads its `coordinator.secretFile`.
    pub fn of(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self(lines.map(str::to_owned).collect())
    }

    /// What a member without a secret accepts.
    pub fn none() -> Self {
        Self(vec![NONE.to_owned()])
    }

    /// What a file has to hold for it.
    pub fn text(&self) -> Secret {
        Secret::new(self.0.join("\n").into_bytes())
    }

    /// The one that counts when a change of secrets is over.
    #[must_use]
    pub fn newest(&self) -> Self {
        Self(self.0.last().cloned().into_iter().collect())
    }

    /// Several secrets: a change of secrets is under way.
    pub fn changes(&self) -> bool {
        self.0.len() > 1
    }

    pub fn shares(&self, other: &Self) -> bool {
        self.0.iter().any(|key| other.0.contains(key))
    }

    /// All of both; those of `newer` last.
    #[must_use]
    pub fn and(&self, newer: &Self) -> Self {
        let older = self.0.iter().filter(|key| !newer.0.contains(key));
        Self(older.chain(&newer.0).cloned().collect())
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} secrets)", self.0.len())
    }
}

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody could ask it.
    Unknown,
    /// It has no secret and does not run: whatever it gets is right.
    Blank,
    /// Its file holds these; `pending`: its process has not read that file yet.
    Ring { ring: Ring, pending: bool },
}

impl Held {
    /// `read` gives the content of a secret file by its digest.
    pub fn of(observed: &Observed, read: impl Fn(&str) -> Option<Ring>) -> Self {
        let unit = observed.unit(UNIT);
        let runs = unit.get("MainPID").parse().unwrap_or(0) > 0;
        let config = String::from_utf8_lossy(observed.content(CONFIG_FILE).unwrap_or_default());
        let named = config.lines().any(|line| line.trim().starts_with("coordinator.secretFile"));
        let there = observed.digest(SECRET_FILE).filter(|_| named || !runs);
        match there {
            Some(digest) => match read(digest) {
                Some(ring) => {
                    let changed = observed.path(SECRET_FILE).map_or(0, |file| file.changed_s);
                    let started = service::started_s(&unit);
                    let pending = runs && started.is_some_and(|started| changed > started);
                    Self::Ring { ring, pending }
                }
                None => Self::Unknown,
            },
            None if runs => Self::Ring { ring: Ring::none(), pending: false },
            None => Self::Blank,
        }
    }
}

/// What the members get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub ring: Ring,
    /// Another roll has to follow, by which the old secrets go.
    pub first_of_two: bool,
}

/// What members shall hold next on the way to `wanted`. `Err`: more secrets are in use than a member takes.
pub fn next(wanted: &Ring, members: &[Held]) -> Result<Stage, usize> {
    let rings = || {
        members.iter().filter_map(|held| match held {
            Held::Ring { ring, pending } => Some((ring, *pending)),
            _ => None,
        })
    };
    // Whoever has one secret in common with what is wanted links to members that have only that.
    let ready = rings().all(|(ring, pending)| ring.shares(wanted) && !pending);
    let asked = members.iter().all(|held| *held != Held::Unknown);
    let there = rings().all(|(ring, _)| ring == wanted);
    if there || (ready && asked) {
        return Ok(Stage { ring: wanted.clone(), first_of_two: false });
    }
    let ring = rings().fold(Ring(Vec::new()), |all, (ring, _)| ring.and(&all)).and(wanted);
    if ring.0.len() > KEYS_MAX {
        return Err(ring.0.len());
    }
    let first_of_two = ring != *wanted;
    Ok(Stage { ring, first_of_two })
}

/// The secret that members have agreed on, or are on the way to, where nobody else knows it: the newest of
/// the longest ring. `Err`: two members have no secret in common, by their places in `members`.
pub fn agreed(members: &[Held]) -> Result<Option<Ring>, (usize, usize)> {
    let rings = members.iter().enumerate().filter_map(|(place, held)| match held {
        Held::Ring { ring, .. } if *ring != Ring::none() => Some((place, ring)),
        _ => None,
    });
    let Some((place, longest)) = rings.clone().max_by_key(|(place, ring)| (ring.0.len(), !place))
    else {
        return Ok(None);
    };
    match rings.clone().find(|(_, ring)| !ring.shares(longest)) {
        Some((other, _)) => Err((place.min(other), place.max(other))),
        None => Ok(Some(longest.newest())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> Ring {
        Ring::of(text.replace(' ', "\n").as_bytes())
    }

    fn held(text: &str) -> Held {
        match text {
            "?" => Held::Unknown,
            "" => Held::Blank,
            _ => {
                Held::Ring { ring: ring(text.trim_end_matches('*')), pending: text.ends_with('*') }
            }
        }
    }

    /// As `new < none, none new` says: what is wanted, what members hold; what comes next.
    fn step(case: &str) -> String {
        let (wanted, members) = case.split_once(" < ").expect("a case");
        let members: Vec<Held> = members.split(", ").map(|text| held(text.trim())).collect();
        match next(&ring(wanted), &members) {
            Ok(stage) => {
                let more = if stage.first_of_two { ", then another roll" } else { "" };
                stage.ring.0.join(" ") + more
            }
            Err(count) => format!("refused: {count} secrets"),
        }
    }

    #[test]
    fn each_state_of_the_members_has_a_next_step() {
        let cases = [
            // A new ensemble, and one that has what it should.
            ("new < , , ", "new"),
            ("new < new, new, new", "new"),
            ("new < new, new, ", "new"),
            ("new < new, new, ?", "new"),
            // A secret is added.
            ("new < none, none, none", "none new, then another roll"),
            ("new < none new, none, none", "none new, then another roll"),
            ("new < none new*, none new, none new", "none new, then another roll"),
            ("new < none new, none new, ?", "none new, then another roll"),
            ("new < none new, none new, none new", "new"),
            ("new < new, none new, none new", "new"),
            // It is replaced by another one.
            ("new < old, old, old", "old new, then another roll"),
            ("new < old new, old, old", "old new, then another roll"),
            ("new < old new, old new, old new", "new"),
            ("new < new, old new, old new", "new"),
            ("new < new*, old new, old new", "old new, then another roll"),
            // Members come back that were away while a secret was added, or replaced.
            ("new < new, new, none", "none new, then another roll"),
            ("new < new, new, old", "old new, then another roll"),
            // Two changes at once.
            ("c < a b, a, a", "a b c, then another roll"),
            ("i < a, b, c d e f g h", "refused: 9 secrets"),
            // Somebody keeps several.
            ("old new < old, old, old", "old new"),
        ];
        for (case, expected) in cases {
            assert_eq!(step(case), expected, "{case}");
        }
    }

    /// However a run is stopped between two members of a roll, all members stay linked, and applying again
    /// comes to the end.
    #[test]
    fn members_always_have_a_secret_in_common() {
        for old in ["none", "old"] {
            for stopped in 0..=6 {
                let mut members = vec![held(old), held(old), held(old)];
                let mut turns = 0;
                for run in 0..4 {
                    let stage = next(&ring("new"), &members).expect("few secrets");
                    for place in 0..3 {
                        if run == 0 && turns == stopped {
                            break;
                        }
                        turns += 1;
                        members[place] = Held::Ring { ring: stage.ring.clone(), pending: false };
                        let rings: Vec<&Ring> = members
                            .iter()
                            .map(|held| match held {
                                Held::Ring { ring, .. } => ring,
                                other => panic!("{other:?}"),
                            })
                            .collect();
                        assert!(rings.iter().all(|a| rings.iter().all(|b| a.shares(b))));
                    }
                }
                assert_eq!(members, vec![held("new"), held("new"), held("new")], "{old} {stopped}");
            }
        }
    }

    #[test]
    fn what_members_have_agreed_on_is_taken_over() {
        let of = |members: &[&str]| {
            let members: Vec<Held> = members.iter().map(|text| held(text)).collect();
            agreed(&members).map(|ring| ring.map(|ring| ring.0.join(" ")))
        };
        assert_eq!(of(&["none", "", "?"]), Ok(None));
        assert_eq!(of(&["new", "", "?"]), Ok(Some("new".into())));
        assert_eq!(of(&["old", "old new", "old"]), Ok(Some("new".into())));
        assert_eq!(of(&["none", "none new", "none"]), Ok(Some("new".into())));
        assert_eq!(of(&["new", "old new", "new"]), Ok(Some("new".into())));
        assert_eq!(of(&["a", "a", "b"]), Err((0, 2)));
    }

    #[test]
    fn a_ring_does_not_show_itself() {
        assert_eq!(format!("{:?}", ring("a b")), "Ring(2 secrets)");
        assert_eq!(ring(" a \n\n b\r\n").text().reveal(), b"a\nb");
    }
}
