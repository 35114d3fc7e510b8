//! What a server counts about itself.

/// Minimum, maximum, sum and count of something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    pub last: u64,
    pub min: Option<u64>,
    pub max: u64,
    pub sum: u64,
    pub count: u64,
}

impl Summary {
    pub fn record(&mut self, value: u64) {
        self.last = value;
        self.min = Some(self.min.map_or(value, |m| m.min(value)));
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1;
    }

    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

/// Counters since the start, or since `srst`.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    pub received: u64,
    pub sent: u64,
    pub applied: u64,
    pub auth_failed: u64,
    pub snapshots: u64,
    pub leader_since_ms: u64,
    pub read_latency: Summary,
    pub write_latency: Summary,
    pub proposal_size: Summary,
    pub sync_micros: Summary,
}
