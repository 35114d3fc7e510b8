//! Kernel settings at this moment; the file that sets them at boot is an ordinary file.

use crate::plan::change::{Action, Change, Difference};
use crate::plan::library;
use crate::plan::operation::{self, Operation};
use crate::plan::reason::{self, Reason};
use crate::probe::{Observed, Reading};

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
        reading.library(library::SYSCTL);
        reading.function("read_sysctl", self.settings.iter().map(|setting| setting.key));
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let mut differing = Vec::new();
        let mut settings = Vec::new();
        let mut writable = 0;
        for Setting { key, value } in &self.settings {
            let Ok(now) = observed.text(&format!("sysctl {key}")).trim().parse::<u64>() else {
                continue;
            };
            writable += 1;
            if now != *value {
                let key = (*key).to_owned();
                differing.push(reason::Setting { key: key.clone(), now, wanted: *value });
                settings.push(operation::Setting { key, value: *value });
            }
        }
        if writable == 0 {
            return Difference::NotApplicable("the kernel's settings are read-only here".into());
        }
        if settings.is_empty() {
            return Difference::Same;
        }
        let operation = Operation::SetSysctl { settings };
        Difference::change(Change::new(Action::Update, Reason::Settings(differing), operation))
    }
}
