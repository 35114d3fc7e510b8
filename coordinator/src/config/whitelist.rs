//! `4lw.commands.whitelist`: which four-letter words are answered.

use std::collections::BTreeSet;

/// The words that clients may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whitelist {
    All,
    Only(BTreeSet<String>),
}

impl Whitelist {
    /// `*` or words between commas; unknown words are kept, they allow nothing.
    pub(super) fn parse(value: &str) -> Whitelist {
        let words: BTreeSet<String> =
            value.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect();
        if words.contains("*") { Whitelist::All } else { Whitelist::Only(words) }
    }

    /// What holds without the key: `srvr`, and `isro` where read-only clients look for a server.
    pub(super) fn default_with(read_only_mode: bool) -> Whitelist {
        let words = ["srvr"].into_iter().chain(read_only_mode.then_some("isro"));
        Whitelist::Only(words.map(str::to_owned).collect())
    }

    pub fn allows(&self, word: &str) -> bool {
        match self {
            Whitelist::All => true,
            Whitelist::Only(words) => words.contains(word),
        }
    }
}
