//! What has failed is tried less and less often.

/// A failure is made up for by so many turns without a try, at most.
pub(super) const SKIPS_MAX: u32 = 1024;

/// Turns to let pass.
#[derive(Default)]
pub(super) struct Skips {
    left: u32,
    last: u32,
}

impl Skips {
    /// Whether to leave it this turn.
    pub(super) fn skip(&self) -> bool {
        self.left > 0
    }

    /// It failed: 1, 2, 4 … turns without.
    pub(super) fn failed(&mut self) {
        self.last = (self.last * 2).clamp(1, SKIPS_MAX);
        self.left = self.last;
    }

    /// A turn is over, which went `well`, if it was tried in it.
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
    fn tries(skips: &mut Skips, turns: u32, well: bool) -> u32 {
        let mut tries = 0;
        for _ in 0..turns {
            if !skips.skip() {
                tries += 1;
                if !well {
                    skips.failed();
                }
            }
            skips.turn(well);
        }
        tries
    }

    #[test]
    fn what_fails_is_rare_and_what_goes_well_is_the_rule_again() {
        let mut skips = Skips::default();
        assert_eq!(tries(&mut skips, 100, true), 100);
        assert!((5..25).contains(&tries(&mut skips, 10_000, false)));
        tries(&mut skips, SKIPS_MAX, true);
        assert_eq!(tries(&mut skips, 100, true), 100);
        // By now a failure costs one turn, as at first.
        assert_eq!(tries(&mut skips, 1, false), 1);
        assert_eq!(tries(&mut skips, 10, true), 10);
    }
}
