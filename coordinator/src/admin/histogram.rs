//! Times and sizes as they were seen: count, sum, extremes and quantiles in a fixed space.

/// Buckets per power of two: a quantile is at most an eighth too high.
const STEPS: usize = 8;
const STEPS_BITS: u32 = STEPS.ilog2();
/// Values from 2^40 on share the last bucket: twelve days, counted in microseconds.
const BUCKETS: usize = STEPS * (40 - STEPS_BITS as usize + 1);

/// A histogram with buckets that grow with the value. Recording costs a few instructions.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: Box::new([0; BUCKETS]), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// 0 when nothing was recorded.
    pub fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// 0 when nothing was recorded.
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// A value that at least `share` (0 to 1) of those recorded do not exceed; 0 without any.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            seen += in_bucket;
            if seen >= rank {
                return greatest(index).min(self.max);
            }
        }
        self.max
    }

    /// How many of the values recorded do not exceed `limit`, as far as the buckets tell.
    pub fn count_to(&self, limit: u64) -> u64 {
        let buckets = self.buckets.iter().enumerate();
        buckets.take_while(|&(index, _)| greatest(index) <= limit).map(|(_, n)| n).sum()
    }

    pub fn clear(&mut self) {
        *self = Histogram::default();
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS_BITS;
    let index = STEPS * (shift as usize + 1) + ((value >> shift) as usize - STEPS);
    index.min(BUCKETS - 1)
}

/// The greatest value that falls into a bucket.
fn greatest(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    if index == BUCKETS - 1 {
        return u64::MAX;
    }
    let (shift, step) = (index / STEPS - 1, index % STEPS);
    (((STEPS + step + 1) as u64) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gap_or_overlap() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(greatest(index)), index);
            assert_eq!(bucket(greatest(index) + 1), index + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn empty_is_all_zero() {
        let empty = Histogram::default();
        assert_eq!((empty.count(), empty.min(), empty.max(), empty.quantile(0.99)), (0, 0, 0, 0));
        assert!(empty.average().abs() < f64::EPSILON);
    }

    #[test]
    fn quantiles_are_close_and_never_too_low() {
        let mut histogram = Histogram::default();
        for value in 1..=10_000 {
            histogram.record(value);
        }
        for (share, exact) in [(0.5, 5000), (0.95, 9500), (0.99, 9900), (1.0, 10_000)] {
            let found = histogram.quantile(share);
            assert!(exact <= found && found <= exact + exact / 8, "{share}: {found}");
        }
        assert_eq!((histogram.min(), histogram.max(), histogram.sum()), (1, 10_000, 50_005_000));
        assert!(histogram.count_to(5000) <= 5000 && histogram.count_to(5000) > 4400);
    }
}
