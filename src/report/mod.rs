//! The only module that prints: data goes to stdout, talk to stderr, and a closed pipe is no error.

pub mod event;
pub mod printable;
pub mod run_report;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Color, Output, Reports};
use crate::failure::Failure;
use crate::report::event::{Event, Recorded, Summary};

/// Enough for a thousand hosts with some tens of steps.
const EVENTS_KEPT: usize = 200_000;

static COLOR: OnceLock<Color> = OnceLock::new();
/// The live lines of a terminal, which every other line has to go above of.
static LIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Writes what the command was asked for to stdout, exactly as given.
pub fn data(text: &str) {
    above_live(|| {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
    });
}

/// Puts `text` in the place of what the terminal shows.
pub fn screen(text: &str) {
    let clear = if std::io::stdout().is_terminal() { "\u{1b}[H\u{1b}[2J" } else { "" };
    data(&format!("{clear}{text}"));
}

/// Says one line to the person at the terminal, on stderr.
pub fn talk(line: &str) {
    let line = printable::text(line);
    above_live(|| {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    });
}

/// Says why the run ended.
pub fn failure(failure: &Failure) {
    talk(&failure.to_string());
}

fn above_live(print: impl FnOnce()) {
    match &*LIVE.lock().expect("no panic while held") {
        Some(live) => live.suspend(print),
        None => print(),
    }
}

/// What `--color` said; once, before anything is printed.
pub fn set_color(color: Color) {
    let _ = COLOR.set(color);
}

/// Whether stdout may carry colours.
pub fn color() -> bool {
    match COLOR.get().copied().unwrap_or_default() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::stdout().is_terminal()
        }
    }
}

/// Whether there is a person who can be asked.
pub fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Writes a question.
fn prompt(question: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} ");
    let _ = stderr.flush();
}

/// Asks for one line; `None` at the end of input.
pub fn ask(question: &str) -> Option<String> {
    prompt(question);
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(1..) => Some(line.trim().to_owned()),
        _ => None,
    }
}

/// How a run is told: text for people, or one event a line for programs.
#[derive(Debug)]
pub struct Reporter {
    output: Output,
    began: Instant,
    /// Everything that was told, for the reports at the end.
    told: Mutex<Vec<Recorded>>,
}

impl Reporter {
    pub fn new(output: Output) -> Self {
        Self { output, began: Instant::now(), told: Mutex::default() }
    }

    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Seconds since the run began.
    pub fn elapsed_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// One event: a line for programs, nothing in text, and kept for the reports.
    pub fn event(&self, event: Event) {
        let elapsed_ms = (self.elapsed_s() * 1000.0) as u64;
        let recorded = Recorded { version: event::VERSION, elapsed_ms, event };
        if self.is_json() {
            let line = serde_json::to_string(&recorded).unwrap_or_default();
            data(&printable::json(&format!("{line}\n")));
        }
        let mut told = self.told.lock().expect("no panic while held");
        if told.len() < EVENTS_KEPT {
            told.push(recorded);
        }
    }

    /// Writes the reports that were asked for.
    pub fn reports(&self, title: &str, reports: &Reports) -> Result<(), Failure> {
        let told = self.told.lock().expect("no panic while held");
        let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
            None => Ok(()),
            Some(path) => std::fs::write(path, text()).map_err(|error| {
                Failure::failed(format!("cannot write the report {}: {error}", path.display()))
            }),
        };
        write(&reports.junit, &|| run_report::junit(title, &told))?;
        write(&reports.html, &|| run_report::html(title, &told))
    }

    /// Text for people on stdout; nothing in JSON.
    pub fn text(&self, text: &str) {
        self.painted(&printable::text(text));
    }

    /// The same with colours in it: what others wrote in it has been made harmless.
    pub fn painted(&self, text: &str) {
        if !self.is_json() {
            data(text);
        }
    }

    /// A line on the side, for people whichever way the data goes.
    pub fn aside(&self, line: &str) {
        talk(line);
    }

    /// A failure of one host, or of the run.
    pub fn failed(&self, failure: &Failure) {
        self.event(Event::failure(failure));
        talk(&failure.to_string());
    }

    /// The last line.
    pub fn summary(&self, text: &str, summary: Summary) {
        self.event(Event::Summary(Box::new(summary)));
        self.text(&format!("{text}\n"));
    }
}

/// One live line a host on a terminal, one plain line a step elsewhere.
#[derive(Debug)]
pub struct HostLines {
    bars: BTreeMap<String, ProgressBar>,
    width: usize,
}

impl HostLines {
    /// Lines for these hosts, with the number of steps of each.
    pub fn new(hosts: &[(&str, usize)]) -> Self {
        let width = hosts.iter().map(|(host, _)| host.len()).max().unwrap_or(0);
        let mut bars = BTreeMap::new();
        if std::io::stderr().is_terminal() && hosts.len() <= 40 {
            let live = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            for (host, steps) in hosts {
                let bar = live.add(ProgressBar::new(*steps as u64));
                let style =
                    ProgressStyle::with_template("{prefix} {bar:16} {pos:>2}/{len:2} {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(format!("{host:width$}"));
                bars.insert((*host).to_owned(), bar);
            }
            *LIVE.lock().expect("no panic while held") = Some(live);
        }
        Self { bars, width }
    }

    /// A step has begun.
    pub fn begin(&self, host: &str, step: &str) {
        if let Some(bar) = self.bars.get(host) {
            bar.set_message(printable::text(step).into_owned());
        }
    }

    /// It is done, or it failed.
    pub fn end(&self, host: &str, step: &str, word: &str) {
        match self.bars.get(host) {
            Some(bar) => bar.inc(1),
            None => talk(&format!("{host:width$}  {word:<7} {step}", width = self.width)),
        }
    }

    /// Bytes on their way.
    pub fn sent(&self, host: &str, bytes: u64, total: u64) {
        if let Some(bar) = self.bars.get(host) {
            bar.set_message(format!(
                "{:.0} of {:.0} MB sent",
                bytes as f64 / 1e6,
                total as f64 / 1e6
            ));
        }
    }

    /// The host's last word.
    pub fn close(&self, host: &str, word: &str) {
        if let Some(bar) = self.bars.get(host) {
            bar.finish_with_message(word.to_owned());
        }
    }
}

impl Drop for HostLines {
    /// Live lines end without an end of line: what stays are ordinary ones.
    fn drop(&mut self) {
        let live = LIVE.lock().ok().and_then(|mut live| live.take());
        let Some(live) = live else { return };
        let _ = live.clear();
        for bar in self.bars.values() {
            let (done, steps) = (bar.position(), bar.length().unwrap_or(0));
            talk(&format!("{}  {done} of {steps} steps  {}", bar.prefix(), bar.message()));
        }
    }
}
