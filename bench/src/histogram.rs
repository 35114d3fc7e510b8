//! Latencies in log-linear buckets: 64 per octave, so a percentile is off by at most 1.6 %.

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
/// Up to 2^40 ns, eighteen minutes; longer ones land in the last bucket.
const BUCKETS: usize = (40 - SUB_BITS as usize + 1) * SUB;

#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max_ns: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, ns: u64) {
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1e3
    }

    /// The upper edge, in microseconds, of the bucket that holds the `share` (0..=1) of all values.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (upper_edge(index).min(self.max_ns)) as f64 / 1e3;
            }
        }
        0.0
    }
}

fn bucket(ns: u64) -> usize {
    if ns < SUB as u64 {
        return ns as usize;
    }
    let octave = ns.ilog2() - SUB_BITS;
    let sub = (ns >> octave) as usize - SUB;
    ((octave as usize + 1) * SUB + sub).min(BUCKETS - 1)
}

fn upper_edge(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let octave = index / SUB - 1;
    let sub = (index % SUB + SUB) as u64;
    ((sub + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_no_wider_than_a_64th() {
        for ns in [0, 1, 63, 64, 65, 127, 128, 1000, 123_456, 999_999_999, 1 << 39] {
            let edge = upper_edge(bucket(ns));
            assert!(edge >= ns && edge - ns <= ns / 64, "{ns} ended at {edge}");
        }
    }

    #[test]
    fn quantiles_of_a_thousand_even_steps() {
        let mut histogram = Histogram::default();
        for us in 1..=1000 {
            histogram.record(us * 1000);
        }
        assert!((histogram.quantile_us(0.5) - 500.0).abs() < 8.0);
        assert!((histogram.quantile_us(0.99) - 990.0).abs() < 16.0);
        assert!((histogram.quantile_us(1.0) - 1000.0).abs() < f64::EPSILON);
    }
}
