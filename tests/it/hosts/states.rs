//! Situations on real hosts, from a list of texts: `tests/cases/hosts/NAME.case` says above the line `%%%` what
//! befalls a host and what zkprov is asked, below it what zkprov says of it. Many hosts work side by side.
//!
//! Paragraphs are done in order. `=== inventory` writes the inventory anew: `@1` to `@3` are addresses of the
//! case's own hosts; `=== on 2` runs shell on the
//! second one; `=== zkprov WORDS` runs zkprov on the inventory. What is written down of a run is its exit
//! code, what is refused or noted, each step that a bare host would not have, and each failure.
//! `ZKPROV_RECORD=1 ZKPROV_TEST_LAB=1 ZKPROV_TEST_LONG=1 cargo test --test it hosts::states` fills in the
//! lower half of a new one.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;
use zkprov::lab::{Host, Lab, Options};

use crate::watched::zkprov;
use crate::{SEPARATOR, difference, recording, root, told};

const NAME: &str = "zkstates";
const NETWORK: &str = "10.76.44";
/// Cases that run at the same time, and hosts that each of them has.
const WORKERS: usize = 6;
const HOSTS: usize = 3;

#[test]
fn each_situation_on_hosts_is_known_by_name() {
    const TEST: &str = "hosts::states::each_situation_on_hosts_is_known_by_name";
    if !crate::lab::may_boot_long(TEST, false) {
        return;
    }
    let words = std::env::var("ZKPROV_TEST_SCENARIO").unwrap_or_default();
    let words: Vec<&str> = words.split(',').filter(|word| !word.is_empty()).collect();
    let folder = root().join("tests/cases/hosts");
    let entries = std::fs::read_dir(&folder).expect("the folder of cases");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.retain(|path| words.is_empty() || words.iter().any(|word| name(path).contains(word)));
    assert!(!paths.is_empty(), "no case is named {words:?}");
    let count = paths.len();
    let options = Options { network: Some(NETWORK.into()), ..Options::default() };
    let test = crate::lab::TestLab::up(NAME, (WORKERS.min(count) * HOSTS) as u8, options);
    let (waiting, wrong) = (Mutex::new(VecDeque::from(paths)), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for hosts in test.lab.hosts().chunks(HOSTS) {
            scope.spawn(|| {
                let next = || waiting.lock().expect("no panic").pop_front();
                while let Some(path) = next() {
                    let text = std::fs::read_to_string(&path).expect("a case");
                    let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
                    let got = Case::new(&test.lab, hosts).run(input);
                    if recording() {
                        let text = format!("{input}{SEPARATOR}{got}");
                        std::fs::write(&path, text).expect("recording");
                    } else if got != expected {
                        let differs = difference(expected, &got);
                        wrong
                            .lock()
                            .expect("no panic")
                            .push(format!("{}:\n{differs}", name(&path)));
                    }
                }
            });
        }
    });
    told(&format!("hosts::states: {count} cases"));
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}\nZKPROV_RECORD=1 records what came out", wrong.join("\n"));
}

/// The hosts of one case, and where its inventory lies.
struct Case<'a> {
    lab: &'a Lab,
    hosts: &'a [Host],
    folder: tempfile::TempDir,
}

impl<'a> Case<'a> {
    fn new(lab: &'a Lab, hosts: &'a [Host]) -> Self {
        Self { lab, hosts, folder: tempfile::tempdir().expect("a folder") }
    }

    fn inventory(&self) -> PathBuf {
        self.folder.path().join("inventory.yaml")
    }

    /// Does what the case says; what zkprov said.
    fn run(&self, input: &str) -> String {
        let used = (1..=HOSTS).filter(|n| input.contains(&format!("@{n}"))).count().max(1);
        let names: Vec<String> = self.hosts[..used].iter().map(|host| host.name.clone()).collect();
        // On a busy machine a boot may take longer than a lab waits.
        let fresh = self.lab.reset(&names).or_else(|_| self.lab.reset(&names));
        fresh.expect("fresh hosts");
        for host in &self.hosts[..used] {
            // The lab's differ from host to host.
            self.lab.exec(host, &["/bin/sh", "-c", ": >/etc/fstab"]).expect("an fstab");
        }
        self.write_inventory("hosts:\n  a: { address: @1, myid: 1 }\n");
        let mut said = String::new();
        for paragraph in input.split("=== ").skip(1) {
            let (title, body) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
            match title.split_once(' ').unwrap_or((title, "")) {
                ("inventory", _) => self.write_inventory(body),
                ("on", number) => {
                    let number: usize = number.parse().expect("the number of a host");
                    let host = &self.hosts[number - 1];
                    self.lab.exec(host, &["/bin/sh", "-ec", &self.placed(body)]).unwrap_or_else(
                        |failure| {
                            let _ = writeln!(said, "the case itself failed: {failure}");
                            String::new()
                        },
                    );
                }
                ("zkprov", words) => self.zkprov(words, &mut said),
                _ => panic!("`=== {title}`: inventory, on N, or zkprov WORDS"),
            }
        }
        said
    }

    /// With the addresses of the case's hosts.
    fn placed(&self, text: &str) -> String {
        let hosts = self.hosts.iter().enumerate();
        hosts.fold(text.to_owned(), |text, (at, host)| {
            text.replace(&format!("@{}", at + 1), &host.address)
        })
    }

    fn write_inventory(&self, body: &str) {
        let config = self.lab.ssh_config("root").display().to_string();
        let mut text = format!("ensemble: t\nssh: {{ user: root, config: {config} }}\n");
        if !body.contains("kafka:") {
            text.push_str("kafka: { install: false }\n");
        }
        text.push_str(&self.placed(body));
        std::fs::write(self.inventory(), text).expect("written");
    }

    fn zkprov(&self, words: &str, said: &mut String) {
        let mut all = words.split(' ');
        let command = all.next().expect("a command");
        let mut run = zkprov();
        run.arg(command).arg(self.inventory()).args(all);
        let json = command == "plan" || command == "apply" || command == "restart";
        if json {
            run.args(["--output", "json"]);
        }
        let ran = run.output().expect("zkprov runs");
        let _ = writeln!(said, "$ zkprov {words}\nexit {}", ran.status.code().unwrap_or(-1));
        let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
        let mut text = String::new();
        let status = command == "status";
        let told = |line: &&str| !status || line.starts_with(['!', 'e']);
        for line in stdout.lines().filter(told) {
            match serde_json::from_str::<Value>(line) {
                Ok(event) if json => text.push_str(&shown(&event)),
                _ => text.extend([line, "\n"]),
            }
        }
        // What ends a run before it has asked anybody is told on stderr alone.
        if text.is_empty() || !json {
            text.push_str(&String::from_utf8_lossy(&ran.stderr));
        }
        said.push_str(&self.steady(&text));
    }

    /// Without what is another one each time.
    fn steady(&self, text: &str) -> String {
        let mut text = text.replace(&self.inventory().display().to_string(), "inventory.yaml");
        text = text.replace(&self.folder.path().display().to_string(), "FOLDER");
        for (at, host) in self.hosts.iter().enumerate().rev() {
            // `10.0.0.1` is the beginning of `10.0.0.11`.
            let mut rest = text.as_str();
            let mut placed = String::new();
            while let Some((before, after)) = rest.split_once(&host.address) {
                placed.push_str(before);
                let longer = after.starts_with(|c: char| c.is_ascii_digit());
                let name = format!("@{}", at + 1);
                placed.push_str(if longer { &host.address } else { &name });
                rest = after;
            }
            placed.push_str(rest);
            text = placed;
        }
        for (before, after) in [
            ("pid ", ")"),
            ("crash loop: ", " restarts"),
            ("ended ", " times"),
            ("coordinator-", " "),
            ("its digest is ", ";"),
            ("; ", " MB"),
        ] {
            text = masked(&text, before, after);
        }
        text
    }
}

/// Digits and letters of a number between two words become `N`.
fn masked(text: &str, before: &str, after: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(before) {
        out.push_str(head);
        out.push_str(before);
        let end = tail.find(|c: char| !c.is_ascii_hexdigit() && c != '.').unwrap_or(tail.len());
        let number = &tail[..end];
        if number.chars().any(|c| c.is_ascii_digit()) && tail[end..].starts_with(after) {
            out.push('N');
            rest = &tail[end..];
        } else {
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// Of an event, what a person has to know; a plan's usual steps are counted.
fn shown(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |name: &str| event[name].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    match event["event"].as_str() {
        Some("plan") => {
            let _ = writeln!(out, "{}", text(&event["host"]));
            for refusal in each("refusals") {
                let (resource, cause) = (text(&refusal["resource"]), text(&refusal["cause"]));
                let _ = writeln!(out, "  refused {resource}: {cause}");
                let _ = writeln!(out, "          {}", text(&refusal["hint"]));
            }
            for note in each("notes") {
                let _ =
                    writeln!(out, "  note    {}: {}", text(&note["resource"]), text(&note["note"]));
            }
            let mut usual = 0;
            for step in each("steps") {
                let why = text(&step["why"]);
                let first =
                    ["missing", "no such", "not enabled", "not running", "first start", "vm."];
                if first.iter().any(|word| why.starts_with(word)) {
                    usual += 1;
                } else {
                    let (action, step) = (text(&step["action"]), text(&step["step"]));
                    let target = step.strip_prefix(&format!("{action} ")).unwrap_or(&step);
                    let _ = writeln!(out, "  {action:7} {target} ({why})");
                }
            }
            let _ = writeln!(out, "  and {usual} changes as on a bare host");
        }
        Some("failure") => {
            let host = event["host"].as_str().unwrap_or("the run");
            let step = event["step"].as_str().map(|step| format!(", {step}")).unwrap_or_default();
            let cause = text(&event["cause"]);
            let mut lines = cause.lines().map(str::trim);
            let first = lines.next().unwrap_or_default();
            let first = first.split(": failed to connect").next().unwrap_or_default();
            let _ = writeln!(out, "failure {host}{step}: {first}");
            // Not the journal, which has times in it.
            if cause.contains("the other side said") || first.starts_with("ended with status") {
                lines.for_each(|line| out.extend(["  ", line, "\n"]));
            }
        }
        Some("roll") if event["what"] != "wait" => {
            let _ = writeln!(out, "{} {}", text(&event["what"]), text(&event["host"]));
        }
        _ => {}
    }
    out
}
