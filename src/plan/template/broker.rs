//! What the templates of a broker see: among it a heap that follows the host's memory.

use serde_json::{Value, json};

use crate::inventory::Broker;
use crate::inventory::{Host, Inventory};
use crate::layout::BROKER_CONFIG_FILE;

/// Kafka lives off the page cache: a heap beyond this takes more than it gives.
const HEAP_MB_MAX: u64 = 6 * 1024;
/// Below this a broker starts and does little else.
const HEAP_MB_MIN: u64 = 256;
/// For a host that was not asked.
const HEAP_MB_UNKNOWN: u64 = 1024;
/// From here on the collector of large heaps pays; Kafka's own scripts choose it and these settings.
const G1_MB_MIN: u64 = 512;
const G1: &str = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
                  -XX:+ExplicitGCInvokesConcurrent -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true";
const SERIAL: &str =
    "-server -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true";

pub(super) fn values(
    inventory: &Inventory,
    host: &Host,
    broker: &Broker,
    memory_kb: Option<u64>,
) -> Value {
    let (heap, why) = match (&broker.heap, memory_kb) {
        (Some(heap), _) => (heap.clone(), "the heap that the inventory says".to_owned()),
        (None, Some(kb)) => (
            format!("{}M", heap_mb(kb)),
            format!("a quarter of the host's {} MB of memory", kb / 1024),
        ),
        (None, None) => (
            format!("{HEAP_MB_UNKNOWN}M"),
            "depends on the host's memory, which is unknown here".to_owned(),
        ),
    };
    let mb = written_mb(&heap);
    let brokers = inventory.brokers.len();
    json!({
        "id": broker.id,
        "config_file": BROKER_CONFIG_FILE,
        "listeners": broker.listeners_line(),
        "advertised_listeners": broker.advertised_line(host),
        "log_dirs": broker.log_dirs,
        "connect": inventory.connect(),
        "replicas": brokers.min(3),
        "replicas_least": brokers.min(2),
        "heap": heap,
        "heap_why": why,
        "small": mb <= HEAP_MB_MIN,
        "jvm": if mb < G1_MB_MIN { SERIAL } else { G1 },
        "java_home": broker.java_home,
        "properties": broker.properties,
    })
}

/// A quarter of the memory, within bounds, in steps that do not change with every kernel.
fn heap_mb(memory_kb: u64) -> u64 {
    let memory_mb = memory_kb / 1024;
    let quarter = (memory_mb / 4 / 64 * 64).clamp(HEAP_MB_MIN, HEAP_MB_MAX);
    quarter.min((memory_mb / 2).max(64))
}

/// Megabytes of `512M`, `1G` or `262144k`; what is wrong has been refused before.
fn written_mb(heap: &str) -> u64 {
    let (digits, unit) = heap.split_at(heap.len().saturating_sub(1));
    let number: u64 = digits.parse().unwrap_or(0);
    match unit {
        "g" | "G" => number * 1024,
        "k" | "K" => number / 1024,
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_follows_the_memory_within_bounds() {
        let mb = |memory_mb: u64| heap_mb(memory_mb * 1024);
        assert_eq!((mb(400), mb(900), mb(2_000)), (200, 256, 448));
        assert_eq!((mb(8_000), mb(24_000), mb(256_000)), (1_984, 5_952, 6_144));
        assert_eq!(
            (written_mb("1G"), written_mb("192m"), written_mb("262144k")),
            (1_024, 192, 256)
        );
    }
}
