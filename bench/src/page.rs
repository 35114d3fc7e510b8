//! `benchmarks.md` and its plots, and the table on stdout: made from the results file alone, so
//! that runs of single parts add up to one page.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cell::{Sample, Shape, Workload};
use crate::engine::Engine;
use crate::plot::{Heading, Pair, bars, curves, dots};
use crate::report;
use crate::results::{Cell, Client, Results, Spread};
use crate::target::{self, Value, number};

/// Prose by hand that the page takes in: what limits the server, what to make of the figures.
const NOTES: &str = "benchmarks-notes.md";

/// The verdicts on stdout.
pub fn table(results: &Results) {
    report::line(&format!(
        "{:<86} {:>12} {:>14} {:>14} {:>8}  met",
        "figure", "target", "ZooKeeper", "coordinator", "ratio"
    ));
    for row in target::verdicts(results) {
        if row.met.is_none() && row.zookeeper.is_empty() {
            continue;
        }
        report::line(&format!(
            "{:<86} {:>12} {:>14} {:>14} {:>8}  {}",
            row.what,
            row.target,
            row.zookeeper,
            row.coordinator,
            row.ratio,
            yes_no(row.met)
        ));
    }
}

fn yes_no(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not run",
    }
}

/// Writes the page and its plots under `docs`.
pub fn write(results: &Results, docs: &Path) -> Result<()> {
    let plots = plots(results);
    fs::create_dir_all(docs.join("img"))?;
    for (name, _, svg) in &plots {
        fs::write(docs.join(format!("img/{name}.svg")), svg).context("write plot")?;
    }
    let notes = fs::read_to_string(docs.join(NOTES)).unwrap_or_default();
    let page = page(results, &plots, &notes);
    fs::write(docs.join("benchmarks.md"), page).context("write page")
}

/// File name, alternative text, picture.
type Plots = Vec<(String, String, String)>;

fn page(results: &Results, plots: &Plots, notes: &str) -> String {
    let mut page = String::new();
    page.push_str(
        "# Benchmarks\n\n\
         The coordinator beside Apache ZooKeeper 3.8 from Debian's package, on one machine, over\n\
         loopback, on the same disk and with the same durability (a write is acknowledged when a\n\
         majority has it under `fdatasync`). Made from `docs/benchmarks.json` by\n\
         `coordinator-bench page`; `make bench` makes both anew, `make bench-quick` a part of it in\n\
         under three minutes.\n\n",
    );
    for line in &results.machine {
        let _ = writeln!(page, "- {line}");
    }
    about_run(&mut page, results);
    verdict_table(&mut page, results);
    for name in ["cpu", "throughput", "latency", "failover"] {
        picture(&mut page, plots, name);
    }
    page.push_str(notes);
    page.push_str(METHOD);
    for (client, title) in [
        (Client::Raw, "All cells, pipelined client"),
        (Client::C, "All cells, Debian's C client library"),
    ] {
        cell_table(&mut page, results, client, title);
    }
    figure_table(&mut page, results);
    if !results.curves.is_empty() {
        page.push_str("\n## Growth\n\nCost as things grow; both axes are logarithmic.\n\n");
        for name in results.curves.keys() {
            picture(&mut page, plots, &format!("growth-{name}"));
        }
        page.push_str("Command: `coordinator-bench growth`.\n");
    }
    page
}

const METHOD: &str = "\n## How it is measured\n\n\
- **Interleaved**: both ensembles run at the same time, one is driven while the other idles, cell by\n  \
  cell and round by round (A B A B A B). What the machine does beside hits both.\n\
- **A/A**: where it says so ZooKeeper is measured twice in each round; the ratio of its two medians\n  \
  says how much of any other ratio may be noise.\n\
- **Server CPU per operation** is the scheduler's on-CPU time (user + system) of all threads of all\n  \
  servers between both edges of the window, over the operations acknowledged in it. It is the\n  \
  steadiest figure of a noisy machine.\n\
- **The pipelined client** is one thread with one epoll: one read for all replies on a socket, one\n  \
  write for all requests. `coordinator-bench check-client` drives it against canned replies: it makes\n  \
  several times the operations any server here does, so it is not the limit. Its share of a core\n  \
  stands beside every cell. **The C client** takes two threads a session and on two cores is often\n  \
  the limit itself: where it took more CPU time than all servers and more than two thirds of a\n  \
  core, its cell is marked and counts for no target.\n\
- Between two samples the bench waits until the servers rest, for two seconds at most, so that a\n  \
  snapshot of the one is not counted with the other. What a sample created is deleted after it.\n\
- Sessions are spread over all servers. Set, get and exists pick from 1,024 znodes at random; create\n  \
  makes new ones under one parent a session. Mixed is nine gets to one set.\n\
- ZooKeeper is warmed up before the first cell and stays up through all of them, so its code is\n  \
  compiled; its Java options are the package's (none).\n";

/// When, on what, how busy the machine was, and what is missing.
fn about_run(page: &mut String, results: &Results) {
    let run = &results.run;
    if run.began.is_empty() {
        return page.push('\n');
    }
    let _ = writeln!(
        page,
        "- begun {} at commit {}, {:.0} minutes, load average {:.1} before and {:.1} after\n",
        run.began, run.commit, run.minutes, run.load_before, run.load_after
    );
    if run.failures.is_empty() {
        return;
    }
    page.push_str("**Failed in this run, and not in the tables:**\n\n");
    for failure in &run.failures {
        let _ = writeln!(page, "- {}", failure.replace('\n', " "));
    }
    page.push('\n');
}

fn picture(page: &mut String, plots: &Plots, name: &str) {
    if let Some((name, words, _)) = plots.iter().find(|(known, ..)| known == name) {
        let _ = writeln!(page, "![{words}](img/{name}.svg)\n");
    }
}

fn verdict_table(page: &mut String, results: &Results) {
    page.push_str(
        "## Targets\n\n| figure | target | ZooKeeper | coordinator | ratio | met |\n\
         |---|--:|--:|--:|--:|:-:|\n",
    );
    for row in target::verdicts(results) {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            row.what,
            row.target,
            row.zookeeper,
            row.coordinator,
            row.ratio,
            yes_no(row.met)
        );
    }
    page.push_str("\nValues are medians of all rounds unless it says otherwise.\n");
}

fn cell_table(page: &mut String, results: &Results, client: Client, title: &str) {
    let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.client == client).collect();
    let Some(first) = cells.first() else { return };
    let _ = writeln!(page, "\n## {title}\n");
    page.push_str(
        "Median (minimum–maximum) over the rounds; p50 and p99 are medians; client is its share of a\n\
         core with ZooKeeper and with the coordinator.\n\n\
         | servers | operation | B | sessions × outstanding | ZooKeeper op/s | coordinator op/s | ratio \
         | ZooKeeper µs CPU/op | coordinator µs CPU/op | ratio | p50 µs | p99 µs | client | A/A | load |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for cell in &cells {
        let shape = cell.shape;
        let rate = |sample: &Sample| sample.ops_per_s;
        let cpu = |sample: &Sample| sample.server_us_per_op;
        let both = |value: Value, scale: f64, unit: &str| {
            let shown = |samples: &[Sample]| {
                let spread = Spread::of(samples.iter().map(value));
                spread.map_or_else(String::new, |spread| number(spread.median * scale, unit))
            };
            format!("{} / {}", shown(&cell.zookeeper), shown(&cell.coordinator))
        };
        let rates = target::pair(cell, rate);
        let costs = target::pair(cell, cpu);
        let again = Spread::of(cell.zookeeper_again.iter().map(rate));
        let once = Spread::of(cell.zookeeper.iter().map(rate));
        let noise = again
            .zip(once)
            .map_or_else(String::new, |(a, b)| format!("{:.2}×", a.median / b.median));
        let mut client = both(|sample| sample.client_share, 100.0, "%");
        if target::client_limits(cell) {
            client.push_str(", **the limit**");
        }
        let load =
            cell.zookeeper.iter().chain(&cell.coordinator).map(|s| s.load).fold(0.0, f64::max);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} × {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
            cell.servers,
            shape.workload.name(),
            shape.bytes,
            shape.sessions,
            shape.outstanding,
            spread(&cell.zookeeper, rate),
            spread(&cell.coordinator, rate),
            rates.map_or_else(String::new, |(zookeeper, ours)| format!(
                "**{:.1}×**",
                ours / zookeeper
            )),
            spread(&cell.zookeeper, cpu),
            spread(&cell.coordinator, cpu),
            costs.map_or_else(String::new, |(zookeeper, ours)| format!(
                "**1/{:.1}**",
                zookeeper / ours
            )),
            both(|sample| sample.p50_us, 1.0, ""),
            both(|sample| sample.p99_us, 1.0, ""),
            client,
            noise,
            load
        );
    }
    let part = if client == Client::C { "clib" } else { "cells" };
    let _ = writeln!(
        page,
        "\nCommand of all: `coordinator-bench run --part {part}`; of one: `{}` with its own values.",
        first.command
    );
}

fn spread(samples: &[Sample], value: Value) -> String {
    Spread::of(samples.iter().map(value)).map_or_else(String::new, |spread| {
        let [median, min, max] =
            [spread.median, spread.min, spread.max].map(|value| number(value, ""));
        format!("{median} ({min}–{max})")
    })
}

fn figure_table(page: &mut String, results: &Results) {
    if results.figures.is_empty() {
        return;
    }
    page.push_str(
        "\n## Scenarios\n\nMedian (minimum–maximum; tries).\n\n\
         | scenario | unit | ZooKeeper | coordinator | load | command |\n|---|---|--:|--:|--:|---|\n",
    );
    for (name, figure) in &results.figures {
        let shown = |engine| {
            let values = figure.values(engine);
            Spread::of(values.iter().copied()).map_or_else(String::new, |spread| {
                let [median, min, max] =
                    [spread.median, spread.min, spread.max].map(|value| number(value, ""));
                if values.len() == 1 {
                    median
                } else {
                    format!("{median} ({min}–{max}; {})", values.len())
                }
            })
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {:.1} | `{}` |",
            scenario(name),
            figure.unit,
            shown(Engine::ZooKeeper),
            shown(Engine::Coordinator),
            figure.load,
            figure.command
        );
    }
}

/// A scenario's name in words.
fn scenario(name: &str) -> &str {
    match name {
        "start-1" => "start to first write, 1 server",
        "start-3" => "start to first write, 3 servers together",
        "empty-rss" => "empty server resident",
        "full-rss" => "resident with 1 M znodes of 100 B",
        "restarted-rss" => "the same after a restart",
        "znode-bytes" => "resident per znode over the empty server",
        "znode-live-bytes" => "live Java objects per znode after a full collection",
        "restart-full" => "restart with 1 M znodes, 1 server",
        "restart-full-3" => {
            "restart with 1 M creates in the log and no snapshot, 3 servers together"
        }
        "leader-kill" => "leader killed, first write through a follower",
        "leader-kill-disconnected" => "tries that disconnected that client",
        "leader-freeze" => "leader frozen, first write through a follower",
        "leader-freeze-disconnected" => "tries of freezing that disconnected that client",
        "churn-1" => "connect + ephemeral + close, 16 clients, 1 server",
        "churn-3" => "connect + ephemeral + close, 16 clients, 3 servers",
        "churn-allowed" => {
            "the same on a server of canned replies that writes nothing: what client and kernel allow"
        }
        "churn-client-1" | "churn-client-3" => "the same, the client's own share of a core",
        "churn-cpu-1" => "the same, CPU per session",
        "churn-cpu-3" => "the same, CPU per session on all 3 servers",
        "idle-1000" => "1,000 idle sessions, CPU per server of 3",
        "create-p999-quiet" => "create p99.9 with 1 M znodes, no snapshot",
        "create-p999-snapshot" => "create p99.9 while 1 M znodes are snapshotted",
        "create-max-snapshot" => "slowest create while they are snapshotted",
        "snapshots-written" => "snapshot files written meanwhile",
        other => other,
    }
}

fn plots(results: &Results) -> Plots {
    let mut plots = Vec::new();
    let mut add = |name: &str, words: &str, svg: String| {
        plots.push((name.to_owned(), words.to_owned(), svg));
    };
    if let Some(svg) = cell_bars(
        results,
        &Heading {
            title: "Server CPU per operation",
            subtitle: "µs, user + system of three servers, 16 sessions × 32 outstanding, 100 B; shorter is better",
            unit: "µs",
        },
        &[(16, 32)],
        |sample| sample.server_us_per_op,
        |zookeeper, ours| format!("1/{:.1}", zookeeper / ours),
    ) {
        add("cpu", "Server CPU per operation of both engines", svg);
    }
    if let Some(svg) = cell_bars(
        results,
        &Heading {
            title: "Operations per second",
            subtitle: "three servers, 100 B, pipelined client, sessions × outstanding; longer is better",
            unit: "/s",
        },
        &[(16, 32), (64, 32)],
        |sample| sample.ops_per_s,
        |zookeeper, ours| format!("{:.1}×", ours / zookeeper),
    ) {
        add("throughput", "Operations per second of both engines", svg);
    }
    if let Some(svg) = latency_bars(results) {
        add("latency", "Latency of single creates on both engines", svg);
    }
    if let Some(svg) = failover_dots(results) {
        add("failover", "Time without writes after the leader died or froze", svg);
    }
    for (name, curve) in &results.curves {
        let title = curve_title(name);
        let subtitle = format!("{}; lower is better", curve.unit);
        let subtitle = if curve.unit == "op/s" { "op/s; higher is better" } else { &subtitle };
        let heading = Heading { title, subtitle, unit: &curve.unit };
        add(&format!("growth-{name}"), title, curves(&heading, &curve.x, &curve.points));
    }
    plots
}

fn curve_title(name: &str) -> &str {
    match name {
        "znodes-rss" => "Memory as znodes grow (1 server, 100 B each)",
        "znodes-get" => "Get among ever more znodes (1 server)",
        "znodes-set" => "Set among ever more znodes (1 server)",
        "znodes-create" => "Create beside ever more znodes (1 server)",
        "sessions-get" => "Get with ever more sessions, one outstanding each (3 servers)",
        "sessions-set" => "Set with ever more sessions, one outstanding each (3 servers)",
        "sessions-rss" => "Memory of the largest server as sessions grow",
        "servers-get" => "Get, CPU of all servers as the ensemble grows",
        "servers-create" => "Create, CPU of all servers as the ensemble grows",
        "servers-get-rate" => "Gets per second as the ensemble grows (one machine)",
        "servers-create-rate" => "Creates per second as the ensemble grows (one machine)",
        "watches-cpu" => "One change seen by ever more watchers: CPU for each",
        "watches-all" => "One change seen by ever more watchers: until the last has heard",
        other => other,
    }
}

fn cell_bars(
    results: &Results,
    heading: &Heading<'_>,
    spreads: &[(usize, usize)],
    value: Value,
    remark: impl Fn(f64, f64) -> String,
) -> Option<String> {
    let mut pairs = Vec::new();
    for &(sessions, outstanding) in spreads {
        for workload in [Workload::Create, Workload::Set, Workload::Get, Workload::Mixed] {
            let shape = Shape { workload, bytes: 100, sessions, outstanding };
            let Some(cell) = results.cell(Client::Raw, 3, shape) else { continue };
            let label = if spreads.len() == 1 {
                workload.name().to_owned()
            } else {
                format!("{}, {sessions} × {outstanding}", workload.name())
            };
            pairs.push(Pair {
                label,
                zookeeper: Spread::of(cell.zookeeper.iter().map(value)),
                coordinator: Spread::of(cell.coordinator.iter().map(value)),
                remark: target::pair(cell, value)
                    .map_or_else(String::new, |(zookeeper, ours)| remark(zookeeper, ours)),
            });
        }
    }
    (!pairs.is_empty()).then(|| bars(heading, &pairs))
}

fn latency_bars(results: &Results) -> Option<String> {
    let mut pairs = Vec::new();
    let quantiles: [(&str, Value); 3] = [
        ("p50", |sample| sample.p50_us),
        ("p99", |sample| sample.p99_us),
        ("p99.9", |sample| sample.p999_us),
    ];
    for servers in [1, 3] {
        let shape = Shape { workload: Workload::Create, bytes: 100, sessions: 1, outstanding: 1 };
        let Some(cell) = results.cell(Client::Raw, servers, shape) else { continue };
        for (name, quantile) in quantiles {
            pairs.push(Pair {
                label: format!("{name}, {servers} server{}", if servers > 1 { "s" } else { "" }),
                zookeeper: Spread::of(cell.zookeeper.iter().map(quantile)),
                coordinator: Spread::of(cell.coordinator.iter().map(quantile)),
                remark: target::pair(cell, quantile)
                    .map_or_else(String::new, |(zookeeper, ours)| {
                        format!("1/{:.1}", zookeeper / ours)
                    }),
            });
        }
    }
    let heading = Heading {
        title: "Latency of a create",
        subtitle: "µs, one session, one outstanding, 100 B; shorter is better",
        unit: "µs",
    };
    (!pairs.is_empty()).then(|| bars(&heading, &pairs))
}

fn failover_dots(results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for (name, words) in [("leader-kill", "killed"), ("leader-freeze", "frozen")] {
        let Some(figure) = results.figures.get(name) else { continue };
        for engine in Engine::BOTH {
            if !figure.values(engine).is_empty() {
                rows.push((format!("{words}, {}", engine.name()), engine, figure.values(engine)));
            }
        }
    }
    let heading = Heading {
        title: "Without writes after the leader was killed or frozen",
        subtitle: "each try, to the first write acknowledged through a follower; the bar is the median",
        unit: "ms, logarithmic",
    };
    (!rows.is_empty()).then(|| dots(&heading, &rows))
}
