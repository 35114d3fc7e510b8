//! What happened in a run, host by host and step by step, read from the run's own events; and the two
//! forms in which CI keeps it: a JUnit report and one self-contained page. Pure.

use std::fmt::Write as _;

use serde_json::Value;

/// One thing that was done on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub host: String,
    pub step: String,
    pub began_ms: u64,
    /// `None`: it never ended.
    pub ended_ms: Option<u64>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// The deeds of a run, in the order in which they began.
pub fn deeds(events: &[Value]) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = Vec::new();
    for event in events {
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let at_ms = event["elapsed_ms"].as_u64().unwrap_or(0);
        let host = word("host");
        let begin = |step: String| Deed {
            host: word("host"),
            step,
            began_ms: at_ms,
            ended_ms: None,
            failure: None,
        };
        match (event["event"].as_str(), event["state"].as_str(), event["what"].as_str()) {
            (Some("step"), Some("begin"), _) => deeds.push(begin(word("step"))),
            (Some("step"), Some(state), _) => {
                let step = word("step");
                if let Some(deed) = open(&mut deeds, &host, &step) {
                    deed.ended_ms = Some(at_ms);
                    deed.failure = (state == "failed").then(|| "the step failed".to_owned());
                }
            }
            (Some("roll"), _, Some(what @ ("restart" | "rollback"))) => {
                deeds.push(begin(what.into()));
            }
            (Some("roll"), _, Some("back")) => {
                if let Some(deed) = open(&mut deeds, &host, "restart") {
                    deed.ended_ms = Some(at_ms);
                }
            }
            (Some("host"), ..) => deeds.push(Deed {
                ended_ms: Some(at_ms),
                failure: unwell(event),
                ..begin("healthy, and as the inventory says".into())
            }),
            (Some("failure"), ..) => {
                // What stopped the run as a whole has no host.
                let of_run = host.is_empty();
                let host = if of_run { "zkprov".to_owned() } else { host };
                let step = word("step");
                let cause = word("cause");
                // A way back ends with the word on what it came to.
                if let Some(back) = open(&mut deeds, &host, "rollback") {
                    back.ended_ms = Some(at_ms);
                }
                let known = deeds.iter_mut().rfind(|deed| deed.host == host && deed.step == step);
                match known {
                    Some(deed) => {
                        deed.ended_ms.get_or_insert(at_ms);
                        deed.failure = Some(cause);
                    }
                    None => deeds.push(Deed {
                        ended_ms: Some(at_ms),
                        failure: Some(cause),
                        host,
                        step: match (step.is_empty(), of_run) {
                            (false, _) => step,
                            (true, true) => "the run".into(),
                            (true, false) => "reach the host".into(),
                        },
                        began_ms: at_ms,
                    }),
                }
            }
            _ => {}
        }
    }
    deeds
}

/// Why a host of `zkprov status` is not as it should be.
fn unwell(event: &Value) -> Option<String> {
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    let drift = event["drift"].as_array().map_or(0, Vec::len);
    text("unreachable")
        .or_else(|| text("error"))
        .or_else(|| event["mode"].is_null().then(|| "it does not serve".to_owned()))
        .or_else(|| (drift > 0).then(|| format!("differs from the inventory: {}", event["drift"])))
}

fn open<'a>(deeds: &'a mut [Deed], host: &str, step: &str) -> Option<&'a mut Deed> {
    deeds.iter_mut().rfind(|deed| deed.host == host && deed.step == step && deed.ended_ms.is_none())
}

/// Text as XML and HTML carry it. Control characters, which XML cannot hold at all, are left out.
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
pub fn junit(title: &str, events: &[Value]) -> String {
    let deeds = deeds(events);
    let failures = deeds.iter().filter(|deed| deed.failure.is_some()).count();
    let unfinished = deeds.iter().filter(|deed| deed.ended_ms.is_none()).count();
    let took = events.iter().filter_map(|event| event["elapsed_ms"].as_u64()).max().unwrap_or(0);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
        escape(title),
        deeds.len(),
        failures,
        unfinished,
        took as f64 / 1000.0
    );
    for deed in &deeds {
        let took = deed.ended_ms.unwrap_or(took).saturating_sub(deed.began_ms);
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(&deed.host),
            escape(&deed.step),
            took as f64 / 1000.0
        );
        let _ = match (&deed.failure, deed.ended_ms) {
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

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
    pre{background:#f4f4f4;padding:.6rem;overflow:auto;white-space:pre-wrap}.bad{color:#a40000;font-weight:600}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif}";

/// One page with everything in it: a time line, what was planned, what happened.
pub fn html(title: &str, events: &[Value]) -> String {
    let deeds = deeds(events);
    let total_ms = events.iter().filter_map(|e| e["elapsed_ms"].as_u64()).max().unwrap_or(1).max(1);
    let failed = deeds.iter().filter(|deed| deed.failure.is_some()).count();
    let verdict = if failed == 0 { "ended well".to_owned() } else { format!("{failed} failed") };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1><p>{} steps in {:.1} s: <span class=\"{}\">{verdict}</span></p>\n",
        deeds.len(),
        total_ms as f64 / 1000.0,
        if failed == 0 { "good" } else { "bad" },
        title = escape(title),
    );
    page.push_str("<h2>Time line</h2>\n");
    page.push_str(&time_line(&deeds, total_ms));
    page.push_str(
        "<h2>Plan</h2>\n<table><tr><th>host</th><th>action</th><th>what</th><th>why</th></tr>\n",
    );
    for event in events.iter().filter(|event| event["event"] == "plan") {
        for step in event["steps"].as_array().into_iter().flatten() {
            let cell = |value: &Value| escape(value.as_str().unwrap_or_default());
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                cell(&event["host"]),
                cell(&step["action"]),
                cell(&step["step"]),
                cell(&step["why"])
            );
        }
    }
    page.push_str("</table>\n<h2>What happened</h2>\n<table><tr><th>at</th><th>host</th><th>step</th><th>took</th><th></th></tr>\n");
    for deed in &deeds {
        let took = deed.ended_ms.map_or_else(
            || "never ended".to_owned(),
            |ended| format!("{:.2} s", ended.saturating_sub(deed.began_ms) as f64 / 1000.0),
        );
        let failure = deed
            .failure
            .as_deref()
            .map(|cause| format!("<pre class=\"bad\">{}</pre>", escape(cause)));
        let _ = writeln!(
            page,
            "<tr><td>{:.2} s</td><td>{}</td><td>{}</td><td>{took}</td><td>{}</td></tr>",
            deed.began_ms as f64 / 1000.0,
            escape(&deed.host),
            escape(&deed.step),
            failure.unwrap_or_default()
        );
    }
    page.push_str("</table></body></html>\n");
    page
}

/// A row for every host, a bar for every step.
fn time_line(deeds: &[Deed], total_ms: u64) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    for deed in deeds {
        if !hosts.contains(&deed.host.as_str()) {
            hosts.push(&deed.host);
        }
    }
    let (left, width, row) = (110.0, 880.0, 26.0);
    let height = hosts.len() as f64 * row + 24.0;
    let x = |ms: u64| left + width * ms as f64 / total_ms as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 1000 {height}\" role=\"img\" aria-label=\"time line of the run\">\n"
    );
    for (index, host) in hosts.iter().enumerate() {
        let y = index as f64 * row;
        let _ = writeln!(svg, "<text x=\"0\" y=\"{}\">{}</text>", y + 17.0, escape(host));
        for deed in deeds.iter().filter(|deed| deed.host == *host) {
            let end = x(deed.ended_ms.unwrap_or(total_ms));
            let colour = match (&deed.failure, deed.step.as_str()) {
                (Some(_), _) => "#c62828",
                (None, "restart") => "#ef9f27",
                _ => "#3b7dd8",
            };
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\" fill-opacity=\".75\"><title>{}: {}</title></rect>",
                x(deed.began_ms),
                y + 4.0,
                (end - x(deed.began_ms)).max(1.5),
                escape(host),
                escape(&deed.step)
            );
        }
    }
    for tick in 0..=4_u64 {
        let ms = total_ms * tick / 4;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{}\">{:.1} s</text>",
            x(ms),
            height - 4.0,
            if tick == 4 { "end" } else { "start" },
            ms as f64 / 1000.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn events() -> Vec<Value> {
        vec![
            json!({"event": "plan", "host": "a", "elapsed_ms": 1, "steps": [{"step": "file <x>", "action": "create", "why": "missing"}]}),
            json!({"event": "step", "host": "a", "step": "file <x>", "state": "begin", "elapsed_ms": 10}),
            json!({"event": "step", "host": "a", "step": "file <x>", "state": "done", "elapsed_ms": 30}),
            json!({"event": "step", "host": "b", "step": "user k", "state": "begin", "elapsed_ms": 10}),
            json!({"event": "step", "host": "b", "step": "user k", "state": "failed", "elapsed_ms": 50}),
            json!({"event": "failure", "host": "b", "step": "user k", "cause": "no & never\u{1b}[1m", "elapsed_ms": 60}),
            json!({"event": "failure", "host": "c", "step": null, "cause": "unreachable", "elapsed_ms": 70}),
            json!({"event": "roll", "what": "restart", "host": "a", "elapsed_ms": 80}),
            json!({"event": "roll", "what": "back", "host": "a", "elapsed_ms": 180}),
        ]
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
