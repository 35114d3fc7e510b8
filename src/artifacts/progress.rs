//! How long work shows itself on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

use crate::artifacts::fetch::Event;
use crate::report;

/// A download as it goes.
pub struct Download {
    what: String,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    /// The last tenth that was said.
    tenths: u64,
}

impl Download {
    pub fn new(what: impl Into<String>) -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        Self { what: what.into(), bar, total: None, tenths: 0 }
    }

    pub fn tell(&mut self, event: &Event) {
        match event {
            Event::Trying { source } => self.say(&format!("{}: asking {source}", self.what)),
            Event::Begins { at, total } => self.begin(*at, *total),
            Event::Progress { at } => self.advance(*at),
            Event::Useless { source, why } => {
                self.say(&format!("warning: {source}: {why}"));
            }
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report::talk(line)),
            None => report::talk(line),
        }
    }

    fn begin(&mut self, at: u64, total: Option<u64>) {
        self.total = total;
        self.tenths = total.map_or(0, |total| at * 10 / total.max(1));
        if at > 0 {
            self.say(&format!("{}: going on after {}", self.what, megabytes(at)));
        }
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_message(self.what.clone());
            bar.set_position(at);
        }
    }

    fn advance(&mut self, at: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(at);
        } else if let Some(total) = self.total {
            // Two lines a download are enough for a log.
            let tenths = at * 10 / total.max(1);
            if tenths / 5 > self.tenths / 5 {
                self.say(&format!("{}: {} of {}", self.what, megabytes(at), megabytes(total)));
            }
            self.tenths = tenths;
        }
    }
}

/// Bytes for people.
pub fn megabytes(bytes: u64) -> String {
    if bytes < 1_000_000 {
        return format!("{bytes} bytes");
    }
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
