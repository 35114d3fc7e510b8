//! The reports that CI keeps, read by what reads them: the page by a real browser, the JUnit file by an
//! XML parser that is not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use zkprov::report::event::Recorded;
use zkprov::report::run_report;

use crate::skipped;

/// A rolled apply of three hosts in which the last member does not come back.
fn events() -> Vec<Recorded> {
    let mut events: Vec<Value> = Vec::new();
    for host in ["kafka1", "kafka2", "kafka3"] {
        let steps = json!([{"step": "file /etc/kafka/zookeeper.properties", "action": "update", "why": "+1 -0 lines"}]);
        events.push(json!({"event": "plan", "host": host, "elapsed_ms": 300, "steps": steps}));
    }
    for (number, host) in ["kafka2", "kafka3", "kafka1"].into_iter().enumerate() {
        let began = 1_000 + number as u64 * 4_000;
        events.push(json!({"event": "roll", "what": "restart", "host": host, "why": "it runs <old>", "elapsed_ms": began}));
        if host != "kafka1" {
            events.push(
                json!({"event": "roll", "what": "back", "host": host, "elapsed_ms": began + 3_500}),
            );
        }
    }
    events
        .push(json!({"event": "roll", "what": "rollback", "host": "kafka1", "elapsed_ms": 11_000}));
    events.push(json!({"event": "failure", "host": "kafka1", "step": "restart", "cause": "the service failed\n    no such luck & more", "elapsed_ms": 12_000}));
    events.push(json!({"event": "failure", "host": null, "step": null, "cause": "the roll was stopped", "elapsed_ms": 12_100}));
    let event = |event| serde_json::from_value(event).expect("an event");
    events.into_iter().map(event).collect()
}

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Runs the browser on a page without a screen; what it wrote to stdout.
fn browse(browser: &Path, folder: &Path, words: &[&str], page: &Path) -> String {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "300"])
        .arg(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--window-size=1200,900"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(words)
        .arg(format!("file://{}", page.display()))
        .env("HOME", folder)
        .output()
        .expect("the browser runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is really on the screen: bars that have a size and lie within the picture, one after the other.
const MEASURE: &str = "<script>
const box = document.querySelector('svg').getBoundingClientRect();
const bars = [...document.querySelectorAll('svg rect')].map(bar => bar.getBoundingClientRect());
const drawn = bars.filter(b => b.width > 0 && b.height > 5 && b.left >= box.left && b.right <= box.right + 1);
const names = [...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().width > 0);
const red = [...document.querySelectorAll('svg rect')].filter(b => getComputedStyle(b).fill === 'rgb(198, 40, 40)');
document.body.dataset.measured =
  `bars ${drawn.length} texts ${names.length} red ${red.length} wide ${box.width > 800} overflow ${document.documentElement.scrollWidth > innerWidth}`;
</script>";

#[test]
fn a_browser_draws_the_page() {
    const NAME: &str = "reports::a_browser_draws_the_page";
    let Some(browser) = browser() else {
        skipped(NAME, "no chromium is installed (.ci/needs browser)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    let text = run_report::html("zkprov apply demo", &events());
    std::fs::write(&page, format!("{text}{MEASURE}")).expect("written");
    let dom = browse(&browser, folder.path(), &["--dump-dom"], &page);
    // Four bars of the three hosts and one of the run itself; four names and five times.
    let wanted = "bars 5 texts 9 red 2 wide true overflow false";
    assert!(dom.contains(&format!("data-measured=\"{wanted}\"")), "{dom}");
    assert!(dom.contains("no such luck &amp; more") && !dom.contains("<old>"), "{dom}");
    let Some(kept) = std::env::var_os("ZKPROV_KEEP_SCREENSHOT") else { return };
    let shot = format!("--screenshot={}", PathBuf::from(kept).display());
    browse(&browser, folder.path(), &[&shot], &page);
}

/// As GitLab, Jenkins and the usual actions of GitHub read it: suites, cases with class and name, the
/// time as a number, failures with a message.
const READ: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == 'testsuites', root.tag
for suite in root:
    cases = suite.findall('testcase')
    bad = [case for case in cases if case.find('failure') is not None]
    assert int(suite.get('tests')) == len(cases) and int(suite.get('failures')) == len(bad)
    for case in cases:
        assert case.get('classname') and case.get('name') and float(case.get('time')) >= 0
    print(suite.get('name'), len(cases), *(case.find('failure').get('message') for case in bad), sep='|')
";

#[test]
fn another_parser_reads_the_junit_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.xml");
    std::fs::write(&file, run_report::junit("zkprov apply demo", &events())).expect("written");
    let Ok(output) = Command::new("python3").args(["-c", READ]).arg(&file).output() else {
        skipped("reports::another_parser_reads_the_junit_file", "no python3 is installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said.trim(),
        "zkprov apply demo|5|the service failed|the roll was stopped",
        "{wrong}"
    );
}
