//! Kernel settings at this moment; the file that sets them at boot is an ordinary file.

use super::{Action, Change, Difference};
use crate::probe::{Observed, Reading};

pub(super) const SHELL: &str = include_str!("sysctl.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    pub settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub value: u64,
}

impl Sysctl {
    pub fn read(&self, reading: &mut Reading) {
        reading.library(SHELL);
        reading.function("read_sysctl", self.settings.iter().map(|setting| setting.key));
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let mut why = Vec::new();
        let mut arguments = Vec::new();
        let mut writable = 0;
        for Setting { key, value } in &self.settings {
            let Ok(now) = observed.text(&format!("sysctl {key}")).trim().parse::<u64>() else {
                continue;
            };
            writable += 1;
            if now != *value {
                why.push(format!("{key} {now} -> {value}"));
                arguments.extend([(*key).to_owned(), value.to_string()]);
            }
        }
        if writable == 0 {
            return Difference::NotApplicable("the kernel's settings are read-only here".into());
        }
        if why.is_empty() {
            return Difference::Same;
        }
        Difference::change(Change::new(Action::Update, why.join(", "), "do_sysctl", arguments))
    }
}
