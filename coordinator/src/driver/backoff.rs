//! Exponential backoff, counted in turns.

/// Maximum backoff, in turns.
pub(super) const BACKOFF_MAX: u32 = 1024;

/// Turns to skip after a failure.
#[derive(Default)]
pub(super) struct Backoff {
    left: u32,
    last: u32,
}

impl Backoff {
    /// Whether to skip this turn.
    pub(super) fn skip(&self) -> bool {
        self.left > 0
    }

    /// The attempt failed: skip 1, 2, 4 … turns.
    pub(super) fn failed(&mut self) {
        self.last = (self.last * 2).clamp(1, BACKOFF_MAX);
        self.left = self.last;
    }

    /// A turn has ended. `well`: an attempt in it succeeded.
    pub(super) fn turn(&mut self, well: bool) {
        if self.left > 0 {
            self.left -= 1;
        } else if well {
            self.last = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries in so many turns, each of which fails or goes well.
    fn tries(backoff: &mut Backoff, turns: u32, well: bool) -> u32 {
        let mut tries = 0;
        for _ in 0..turns {
            if !backoff.skip() {
                tries += 1;
                if !well {
                    backoff.failed();
                }
            }
            backoff.turn(well);
        }
        tries
    }

    #[test]
    fn what_fails_is_rare_and_what_goes_well_is_the_rule_again() {
        let mut backoff = Backoff::default();
        assert_eq!(tries(&mut backoff, 100, true), 100);
        assert!((5..25).contains(&tries(&mut backoff, 10_000, false)));
        tries(&mut backoff, BACKOFF_MAX, true);
        assert_eq!(tries(&mut backoff, 100, true), 100);
        // By now a failure costs one turn, as at first.
        assert_eq!(tries(&mut backoff, 1, false), 1);
        assert_eq!(tries(&mut backoff, 10, true), 10);
    }
}
