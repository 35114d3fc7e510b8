//! Tests of many scenarios on the same hosts, each told by name. `ZKPROV_TEST_SCENARIO=words,words`
//! runs only those whose name has one of the words in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) struct Scenarios {
    test: &'static str,
    wanted: Vec<String>,
    ran: usize,
    failed: Vec<&'static str>,
}

impl Scenarios {
    pub(crate) fn of(test: &'static str) -> Self {
        let words = std::env::var("ZKPROV_TEST_SCENARIO").unwrap_or_default();
        let wanted = words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Self { test, wanted, ran: 0, failed: Vec::new() }
    }

    /// Some were asked for by name, be they long or not.
    pub(crate) fn chosen(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        !self.chosen() || self.wanted.iter().any(|words| name.contains(words))
    }

    pub(crate) fn run(&mut self, name: &'static str, scenario: impl FnOnce()) {
        crate::told(&format!("{}: {name}", self.test));
        self.ran += usize::from(self.wants(name));
        if catch_unwind(AssertUnwindSafe(scenario)).is_err() {
            self.failed.push(name);
        }
    }

    pub(crate) fn end(self) {
        assert!(self.failed.is_empty(), "failed scenarios: {:#?}", self.failed);
        assert!(self.ran > 0, "no scenario of {} is named {:?}", self.test, self.wanted);
    }
}
