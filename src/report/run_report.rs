//! What happened in a run, host by host and step by step, from the run's own events; and the two forms in
//! which CI keeps it: a JUnit report and one self-contained page. Pure.

use std::fmt::Write as _;

use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use crate::report::event::{Event, HostStatus, Recorded, RollStep, StepState};

/// One step on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    pub host: String,
    pub step: String,
    pub began_ms: u64,
    /// `None`: it never ended.
    pub ended_ms: Option<u64>,
    /// Why it failed.
    pub failure: Option<String>,
}

const PAGE: &str = include_str!("../../templates/report.html");

/// The steps of a run, in the order in which they began.
pub fn records(events: &[Recorded]) -> Vec<StepRecord> {
    let mut records: Vec<StepRecord> = Vec::new();
    for Recorded { elapsed_ms: at_ms, event, .. } in events {
        let at_ms = *at_ms;
        let begin = |host: &str, step: &str| StepRecord {
            host: host.to_owned(),
            step: step.to_owned(),
            began_ms: at_ms,
            ended_ms: None,
            failure: None,
        };
        match event {
            Event::Step { host, step, state: StepState::Begin } => records.push(begin(host, step)),
            Event::Step { host, step, state } => {
                if let Some(record) = open(&mut records, host, step) {
                    record.ended_ms = Some(at_ms);
                    let failed = *state == StepState::Failed;
                    record.failure = failed.then(|| "the step failed".to_owned());
                }
            }
            Event::Roll { what: what @ (RollStep::Restart | RollStep::Rollback), host, .. } => {
                records.push(begin(host, what.word()));
            }
            Event::Roll { what: RollStep::Back, host, .. } => {
                if let Some(record) = open(&mut records, host, RollStep::Restart.word()) {
                    record.ended_ms = Some(at_ms);
                }
            }
            Event::Host(status) => records.push(StepRecord {
                ended_ms: Some(at_ms),
                failure: unwell(status),
                ..begin(&status.host, "healthy; configuration matches")
            }),
            Event::Failure { host, step, cause, .. } => {
                fail(&mut records, at_ms, host.as_deref(), step.as_deref(), cause);
            }
            _ => {}
        }
    }
    records
}

/// What stopped a step, a host, or the run as a whole, which has no host.
fn fail(
    records: &mut Vec<StepRecord>,
    at_ms: u64,
    host: Option<&str>,
    step: Option<&str>,
    cause: &str,
) {
    let on = host.unwrap_or("zkprov");
    // A way back ends with the word on what it came to.
    if let Some(back) = open(records, on, RollStep::Rollback.word()) {
        back.ended_ms = Some(at_ms);
    }
    let step = step.unwrap_or(if host.is_none() { "the run" } else { "reach the host" });
    let known = records.iter_mut().rfind(|record| record.host == on && record.step == step);
    if let Some(record) = known {
        record.ended_ms.get_or_insert(at_ms);
        record.failure = Some(cause.to_owned());
    } else {
        records.push(StepRecord {
            host: on.to_owned(),
            step: step.to_owned(),
            began_ms: at_ms,
            ended_ms: Some(at_ms),
            failure: Some(cause.to_owned()),
        });
    }
}

/// Why a host of `zkprov status` is not as it should be.
fn unwell(status: &HostStatus) -> Option<String> {
    let drift = status.drift.as_deref().unwrap_or_default();
    status
        .unreachable
        .clone()
        .or_else(|| status.error.clone())
        .or_else(|| status.mode.is_none().then(|| "it does not serve".to_owned()))
        .or_else(|| {
            (!drift.is_empty()).then(|| format!("differs from the inventory: {}", drift.join(", ")))
        })
}

fn open<'a>(records: &'a mut [StepRecord], host: &str, step: &str) -> Option<&'a mut StepRecord> {
    records
        .iter_mut()
        .rfind(|record| record.host == host && record.step == step && record.ended_ms.is_none())
}

/// Text as XML carries it. Control characters, which XML cannot hold at all, are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// A JUnit report: a case for every step on every host.
pub fn junit(title: &str, events: &[Recorded]) -> String {
    let records = records(events);
    let failures = records.iter().filter(|record| record.failure.is_some()).count();
    let unfinished = records.iter().filter(|record| record.ended_ms.is_none()).count();
    let took = last_ms(events);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
        escape(title),
        records.len(),
        failures,
        unfinished,
        took as f64 / 1000.0
    );
    for record in &records {
        let took = record.ended_ms.unwrap_or(took).saturating_sub(record.began_ms);
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(&record.host),
            escape(&record.step),
            took as f64 / 1000.0
        );
        let _ = match (&record.failure, record.ended_ms) {
            (Some(cause), _) => {
                let first = cause.lines().next().unwrap_or_default();
                writeln!(
                    xml,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escape(first),
                    escape(cause)
                )
            }
            (None, None) => writeln!(xml, "><error message=\"it never ended\"/></testcase>"),
            (None, Some(_)) => writeln!(xml, "/>"),
        };
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

fn last_ms(events: &[Recorded]) -> u64 {
    events.iter().map(|event| event.elapsed_ms).max().unwrap_or(0)
}

fn seconds(ms: u64, digits: usize) -> String {
    format!("{:.digits$}", ms as f64 / 1000.0)
}

/// One page with everything in it: a time line, what was planned, what happened.
pub fn html(title: &str, events: &[Recorded]) -> String {
    let steps = records(events);
    let total_ms = last_ms(events).max(1);
    let planned: Vec<_> = events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Plan(host) => Some(host),
            _ => None,
        })
        .flat_map(|host| {
            host.steps.iter().map(|step| {
                context!(host => &host.host, action => &step.action, step => &step.step, why => &step.why)
            })
        })
        .collect();
    let told: Vec<_> = steps
        .iter()
        .map(|record| {
            let took = record.ended_ms.map_or_else(
                || "never ended".to_owned(),
                |ended| format!("{} s", seconds(ended.saturating_sub(record.began_ms), 2)),
            );
            context!(
                at => seconds(record.began_ms, 2),
                host => &record.host,
                step => &record.step,
                took => took,
                failure => &record.failure,
            )
        })
        .collect();
    let context = context!(
        title => title,
        took => seconds(total_ms, 1),
        failed => steps.iter().filter(|record| record.failure.is_some()).count(),
        line => Serde(time_line(&steps, total_ms)),
        planned => planned,
        records => told,
    );
    let mut environment = Environment::new();
    environment
        .add_template("report.html", PAGE)
        .and_then(|()| environment.get_template("report.html")?.render(context))
        .unwrap_or_else(|error| format!("<!doctype html><p>cannot make the page: {error}</p>"))
}

/// A row for every host, a bar for every step, as numbers of the picture.
#[derive(Serialize)]
struct TimeLine<'a> {
    height: usize,
    rows: Vec<Row<'a>>,
    ticks: Vec<Tick>,
}

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    y: usize,
    bars: Vec<Bar<'a>>,
}

#[derive(Serialize)]
struct Bar<'a> {
    x: String,
    width: String,
    colour: &'static str,
    step: &'a str,
}

#[derive(Serialize)]
struct Tick {
    x: String,
    anchor: &'static str,
    at: String,
}

fn time_line(records: &[StepRecord], total_ms: u64) -> TimeLine<'_> {
    const ROW: usize = 26;
    let mut hosts: Vec<&str> = Vec::new();
    for record in records {
        if !hosts.contains(&record.host.as_str()) {
            hosts.push(&record.host);
        }
    }
    let x = |ms: u64| 110.0 + 880.0 * ms as f64 / total_ms as f64;
    let bar = |record: &'_ StepRecord| {
        let (from, to) = (x(record.began_ms), x(record.ended_ms.unwrap_or(total_ms)));
        let colour = match (&record.failure, record.step == RollStep::Restart.word()) {
            (Some(_), _) => "#c62828",
            (None, true) => "#ef9f27",
            (None, false) => "#3b7dd8",
        };
        (format!("{from:.1}"), format!("{:.1}", (to - from).max(1.5)), colour)
    };
    let rows = hosts.iter().enumerate().map(|(index, host)| Row {
        host,
        y: index * ROW,
        bars: records
            .iter()
            .filter(|record| record.host == *host)
            .map(|record| {
                let (x, width, colour) = bar(record);
                Bar { x, width, colour, step: &record.step }
            })
            .collect(),
    });
    let ticks = (0..=4_u64).map(|tick| {
        let ms = total_ms * tick / 4;
        let anchor = if tick == 4 { "end" } else { "start" };
        Tick { x: format!("{:.1}", x(ms)), anchor, at: seconds(ms, 1) }
    });
    TimeLine { height: hosts.len() * ROW + 24, rows: rows.collect(), ticks: ticks.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn events() -> Vec<Recorded> {
        let events = [
            json!({"event": "plan", "host": "a", "elapsed_ms": 1, "steps": [{"step": "file <x>", "action": "create", "why": "missing"}]}),
            json!({"event": "step", "host": "a", "step": "file <x>", "state": "begin", "elapsed_ms": 10}),
            json!({"event": "step", "host": "a", "step": "file <x>", "state": "done", "elapsed_ms": 30}),
            json!({"event": "step", "host": "b", "step": "user k", "state": "begin", "elapsed_ms": 10}),
            json!({"event": "step", "host": "b", "step": "user k", "state": "failed", "elapsed_ms": 50}),
            json!({"event": "failure", "host": "b", "step": "user k", "cause": "no & never\u{1b}[1m", "elapsed_ms": 60}),
            json!({"event": "failure", "host": "c", "step": null, "cause": "unreachable", "elapsed_ms": 70}),
            json!({"event": "roll", "what": "restart", "host": "a", "elapsed_ms": 80}),
            json!({"event": "roll", "what": "back", "host": "a", "elapsed_ms": 180}),
        ];
        events.map(|event| serde_json::from_value(event).expect("an event")).to_vec()
    }

    #[test]
    fn every_step_is_a_case_and_every_failure_is_one() {
        let xml = junit("apply demo", &events());
        assert!(xml.contains("tests=\"4\" failures=\"2\" errors=\"0\" time=\"0.180\""), "{xml}");
        assert!(xml.contains("name=\"file &lt;x&gt;\" time=\"0.020\"/>"), "{xml}");
        assert!(xml.contains("message=\"no &amp; never[1m\""), "no control characters: {xml}");
        assert!(xml.contains("classname=\"a\" name=\"restart\" time=\"0.100\"/>"), "{xml}");
    }

    #[test]
    fn the_page_stands_alone() {
        let page = html("apply demo", &events());
        assert!(!page.contains("http") && !page.contains("<script"), "nothing from elsewhere");
        assert!(page.contains("file &lt;x&gt;") && page.contains("2 failed"), "{page}");
    }
}
