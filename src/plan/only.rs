//! What a person lets take part in a plan.

/// Which resources take part, and whether another installation's files may be put aside.
#[derive(Clone, Debug, Default)]
pub struct Only {
    kinds: Vec<String>,
    pub(super) take_over: bool,
}

impl Only {
    /// Kinds by name; none is all. The name that is no kind comes back as the error.
    pub fn new(kinds: &[String]) -> Result<Self, String> {
        match kinds.iter().find(|kind| !crate::plan::subject::KINDS.contains(&kind.as_str())) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self { kinds: kinds.to_vec(), take_over: false }),
        }
    }

    /// A person has said that files of another installation are to be kept aside and replaced.
    #[must_use]
    pub fn taking_over(self, take_over: bool) -> Self {
        Self { take_over, ..self }
    }

    pub fn takes(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|only| only == kind)
    }
}
