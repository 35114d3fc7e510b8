//! The figures the coordinator is held to, and whether a run met them.

use crate::cell::{Sample, Shape, Workload};
use crate::engine::Engine;
use crate::results::{Cell, Client, Results, Spread};

/// What of a sample is looked at.
pub type Value = fn(&Sample) -> f64;

/// One row of the verdict table.
pub struct Verdict {
    pub what: String,
    pub target: String,
    pub zookeeper: String,
    pub coordinator: String,
    pub ratio: String,
    /// None where the run has no value.
    pub met: Option<bool>,
}

/// All targets, in the order of the page.
pub fn verdicts(results: &Results) -> Vec<Verdict> {
    let mut rows = Vec::new();
    cpu_targets(results, &mut rows);
    throughput_targets(results, &mut rows);
    latency_targets(results, &mut rows);
    figure_targets(results, &mut rows);
    rows
}

fn cpu_targets(results: &Results, rows: &mut Vec<Verdict>) {
    use Workload::{Create, Get, Mixed, Set};
    for (workload, divisor) in [(Create, 6.0), (Set, 6.0), (Get, 8.0), (Mixed, 7.0)] {
        let shape = Shape { workload, bytes: 100, sessions: 16, outstanding: 32 };
        let cell = results.cell(Client::Raw, 3, shape);
        let pair = cell.and_then(|cell| pair(cell, |sample| sample.server_us_per_op));
        rows.push(at_most_share(
            format!("server CPU per {}, 3 servers, 16 × 32", workload.name()),
            divisor,
            pair,
            "µs",
        ));
    }
}

fn throughput_targets(results: &Results, rows: &mut Vec<Verdict>) {
    use Workload::{Create, Get, Mixed, Set};
    for (bytes, factor, workloads) in
        [(100, 6.0, &[Create, Set, Get, Mixed][..]), (1024, 4.0, &[Create, Set, Get][..])]
    {
        for &workload in workloads {
            for sessions in [16, 64] {
                let shape = Shape { workload, bytes, sessions, outstanding: 32 };
                let cell = results.cell(Client::Raw, 3, shape);
                rows.push(at_least_times(
                    format!(
                        "{} per second, {bytes} B, 3 servers, {sessions} × 32",
                        workload.name()
                    ),
                    factor,
                    cell.and_then(|cell| pair(cell, |sample| sample.ops_per_s)),
                    "/s",
                ));
            }
        }
    }
    rows.push(lowest_cell(
        results,
        Client::Raw,
        2.0,
        "lowest ratio of all cells, pipelined client",
    ));
    rows.push(lowest_cell(
        results,
        Client::C,
        2.5,
        "lowest ratio of all cells that the C client does not limit",
    ));
}

fn lowest_cell(results: &Results, client: Client, factor: f64, what: &str) -> Verdict {
    let lowest = results
        .cells
        .iter()
        .filter(|cell| cell.client == client && !client_limits(cell))
        .filter_map(|cell| Some((pair(cell, |sample| sample.ops_per_s)?, cell)))
        .min_by(|(a, _), (b, _)| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let mut row = at_least_times(what.to_owned(), factor, lowest.map(|(pair, _)| pair), "/s");
    if let Some((_, cell)) = lowest {
        let shape = cell.shape;
        let (name, bytes) = (shape.workload.name(), shape.bytes);
        row.what = format!(
            "{} ({name}, {bytes} B, {} servers, {} × {})",
            row.what, cell.servers, shape.sessions, shape.outstanding
        );
    }
    row
}

fn latency_targets(results: &Results, rows: &mut Vec<Verdict>) {
    let shape = Shape { workload: Workload::Create, bytes: 100, sessions: 1, outstanding: 1 };
    let cell = results.cell(Client::Raw, 3, shape);
    let quantiles: [(&str, Value); 2] =
        [("p50", |sample| sample.p50_us), ("p99", |sample| sample.p99_us)];
    for (name, quantile) in quantiles {
        rows.push(at_most_share(
            format!("create {name}, one session, one outstanding, 3 servers"),
            2.0,
            cell.and_then(|cell| pair(cell, quantile)),
            "µs",
        ));
    }
    let median = |name: &str, engine| results.median(name, engine);
    let ratio = |engine| {
        Some(median("create-p999-snapshot", engine)? / median("create-p999-quiet", engine)?)
    };
    let ours = ratio(Engine::Coordinator);
    rows.push(Verdict {
        what: "create p99.9 while 1 M znodes are snapshotted, over that without".to_owned(),
        target: "≤ 3×".to_owned(),
        zookeeper: ratio(Engine::ZooKeeper)
            .map_or_else(String::new, |ratio| format!("{ratio:.1}×")),
        coordinator: ours.map_or_else(String::new, |ratio| format!("{ratio:.1}×")),
        ratio: String::new(),
        met: ours.map(|ratio| ratio <= 3.0),
    });
}

fn figure_targets(results: &Results, rows: &mut Vec<Verdict>) {
    let at_most = [
        ("znode-bytes", "memory per znode of 100 B, over the empty server", 230.0),
        ("empty-rss", "empty server resident", 10.0),
        ("start-1", "start to first write, 1 server", 50.0),
        ("start-3", "start to first write, 3 servers together", 500.0),
        ("restart-full", "restart with 1 M znodes on disk, 1 server", 1000.0),
        ("leader-kill", "leader killed, first write through a follower, median", 200.0),
    ];
    for (name, what, limit) in at_most {
        rows.push(absolute(results, name, what, limit, |spread| spread.median));
    }
    rows.push(absolute(results, "leader-kill", "the same, worst try", 500.0, |spread| spread.max));
    let what = "tries in which that client was disconnected";
    rows.push(absolute(results, "leader-kill-disconnected", what, 0.0, |spread| spread.max));
    let what = "leader frozen, first write through a follower (2 × election timeout)";
    rows.push(absolute(results, "leader-freeze", what, 2000.0, |spread| spread.max));
    for servers in [1, 3] {
        let name = format!("churn-{servers}");
        let pair = results
            .median(&name, Engine::ZooKeeper)
            .zip(results.median(&name, Engine::Coordinator));
        let what = format!("connect + ephemeral + close, 16 clients, {servers} servers");
        rows.push(at_least_times(what, 6.0, pair, "/s"));
    }
    let what = "CPU of 1,000 idle sessions, per server of 3";
    rows.push(absolute(results, "idle-1000", what, 1.0, |spread| spread.max));
}

/// Whether Debian's client, not the coordinator, is what limits a cell: it took more CPU time than
/// all servers, and more than two thirds of a core.
pub fn client_limits(cell: &Cell) -> bool {
    let client = Spread::of(cell.coordinator.iter().map(|sample| sample.client_share));
    let servers = |sample: &Sample| sample.server_us_per_op * sample.ops_per_s / 1e6;
    let servers = Spread::of(cell.coordinator.iter().map(servers));
    cell.client == Client::C
        && client
            .zip(servers)
            .is_some_and(|(client, servers)| client.median > servers.median && client.median > 0.67)
}

/// Medians of both engines.
pub fn pair(cell: &Cell, value: Value) -> Option<(f64, f64)> {
    let zookeeper = Spread::of(cell.zookeeper.iter().map(value))?.median;
    let coordinator = Spread::of(cell.coordinator.iter().map(value))?.median;
    Some((zookeeper, coordinator))
}

fn at_most_share(what: String, divisor: f64, pair: Option<(f64, f64)>, unit: &str) -> Verdict {
    Verdict {
        what,
        target: format!("≤ 1/{divisor:.0}"),
        zookeeper: pair.map_or_else(String::new, |(zookeeper, _)| number(zookeeper, unit)),
        coordinator: pair.map_or_else(String::new, |(_, ours)| number(ours, unit)),
        ratio: pair
            .map_or_else(String::new, |(zookeeper, ours)| format!("1/{:.1}", zookeeper / ours)),
        met: pair.map(|(zookeeper, ours)| ours * divisor <= zookeeper),
    }
}

fn at_least_times(what: String, factor: f64, pair: Option<(f64, f64)>, unit: &str) -> Verdict {
    Verdict {
        what,
        target: format!("≥ {factor}×"),
        zookeeper: pair.map_or_else(String::new, |(zookeeper, _)| number(zookeeper, unit)),
        coordinator: pair.map_or_else(String::new, |(_, ours)| number(ours, unit)),
        ratio: pair
            .map_or_else(String::new, |(zookeeper, ours)| format!("{:.1}×", ours / zookeeper)),
        met: pair.map(|(zookeeper, ours)| ours >= zookeeper * factor),
    }
}

fn absolute(
    results: &Results,
    name: &str,
    what: &str,
    limit: f64,
    choose: fn(&Spread) -> f64,
) -> Verdict {
    let value = |engine| {
        let figure = results.figures.get(name)?;
        Spread::of(figure.values(engine).iter().copied()).map(|spread| choose(&spread))
    };
    let unit = results.figures.get(name).map_or("", |figure| figure.unit.as_str());
    let (zookeeper, ours) = (value(Engine::ZooKeeper), value(Engine::Coordinator));
    let shown = |value: Option<f64>| value.map_or_else(String::new, |value| number(value, unit));
    Verdict {
        what: what.to_owned(),
        target: format!("≤ {}", number(limit, unit)),
        zookeeper: shown(zookeeper),
        coordinator: shown(ours),
        ratio: match (zookeeper, ours) {
            (Some(zookeeper), Some(ours)) if ours > 0.0 => format!("1/{:.1}", zookeeper / ours),
            _ => String::new(),
        },
        met: ours.map(|ours| ours <= limit),
    }
}

/// Three significant digits or whole thousands, with the unit.
pub fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !rest.is_empty() {
        grouped = format!("{grouped}.{rest}");
    }
    match unit {
        "" => grouped,
        "/s" => format!("{grouped}/s"),
        unit => format!("{grouped} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_grouped_and_short() {
        assert_eq!(number(0.0, ""), "0");
        assert_eq!(number(1.234, "ms"), "1.23 ms");
        assert_eq!(number(12.34, ""), "12.3");
        assert_eq!(number(1_234_567.8, "/s"), "1,234,568/s");
        assert_eq!(number(123.4, "µs"), "123 µs");
    }
}
