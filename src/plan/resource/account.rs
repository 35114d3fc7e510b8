//! Group and user: system accounts without login or home.

use crate::plan::change::{Action, Change, Difference};
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::probe::{Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// Primary group of a new user.
    pub group: String,
}

impl Group {
    pub fn read(&self, reading: &mut Reading) {
        reading.account(&self.name);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        if observed.group(&self.name).trim().is_empty() {
            let create = Change::new(
                Action::Create,
                Reason::NoSuchGroup,
                Operation::CreateGroup { name: self.name.clone() },
            );
            return Difference::change(create);
        }
        Difference::Same
    }
}

impl User {
    pub fn read(&self, reading: &mut Reading) {
        reading.account(&self.name);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let text = observed.user(&self.name);
        let fields: Vec<&str> = text.trim().split(':').collect();
        let [_, _, uid, gid, _, _, shell] = fields[..] else {
            let operation =
                Operation::CreateUser { name: self.name.clone(), group: self.group.clone() };
            let create = Change::new(Action::Create, Reason::NoSuchUser, operation);
            return Difference::change(create);
        };
        if uid == "0" {
            return Difference::refused(
                format!("user {} is root under another name (uid 0)", self.name),
                "the service must not run as root; remove the account",
            );
        }
        // An account that is there belongs to the operator: kept, whatever it looks like.
        let group = observed.group(&self.group);
        let own_gid = group.trim().split(':').nth(2).unwrap_or_default();
        let mut notes = Vec::new();
        if !own_gid.is_empty() && own_gid != gid {
            notes.push(format!("its primary group is {gid}, not {} ({own_gid})", self.group));
        }
        if !(shell.ends_with("/nologin") || shell.ends_with("/false")) {
            notes.push(format!("it can log in, with {shell}"));
        }
        if notes.is_empty() {
            Difference::Same
        } else {
            Difference::Noted(format!("existing account is kept: {}", notes.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(passwd: &str) -> Difference {
        let observed = Observed::of([("user kafka", passwd), ("group kafka", "kafka:x:997:\n")]);
        User { name: "kafka".into(), group: "kafka".into() }.differ(&observed)
    }

    #[test]
    fn existing_accounts_are_kept_and_reported() {
        assert_eq!(differ("kafka:x:998:997::/nonexistent:/usr/sbin/nologin\n"), Difference::Same);
        let Difference::Noted(note) = differ("kafka:x:1001:100:Ops:/home/kafka:/bin/bash\n") else {
            panic!("an operator's account is told about")
        };
        assert!(note.contains("primary group is 100") && note.contains("/bin/bash"), "{note}");
        assert!(matches!(differ(""), Difference::Changes(_)));
        assert!(matches!(differ("kafka:x:0:0::/:/bin/sh"), Difference::Refused { .. }));
    }
}
