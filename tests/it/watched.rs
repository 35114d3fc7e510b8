//! `zkprov` as the tests start it, and a run of it that is watched line by line.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

pub(crate) fn zkprov() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zkprov"));
    command.env("ZKPROV_BUILD_PROFILE", "fast").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A command on an inventory.
pub(crate) fn run(command: &str, inventory: &Path, words: &[&str]) -> Output {
    let output = zkprov().args(command.split(' ')).arg(inventory).args(words).output();
    output.expect("zkprov runs")
}

/// What was printed, stdout first, by a command that ended with `code`.
#[track_caller]
pub(crate) fn ended(output: &Output, code: i32) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = said(&output.stdout) + &said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "\n{text}");
    text
}

#[track_caller]
pub(crate) fn says(text: &str, words: &str) {
    assert!(text.contains(words), "`{words}` is not in:\n{text}");
}

/// What a run says on stderr while it runs; what it says on stdout is left out.
pub(crate) struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(crate) all: String,
}

impl Watched {
    pub(crate) fn start(inventory: &Path, command: &str, rest: &[&str]) -> Self {
        let mut child = zkprov()
            .args(command.split(' '))
            .arg(inventory)
            .args(rest)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("zkprov runs");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, lines, all: String::new() }
    }

    /// Reads until a line has `text`; the line.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        while let Some(Ok(line)) = self.lines.next() {
            self.all += &line;
            self.all.push('\n');
            if line.contains(text) {
                return line;
            }
        }
        panic!("`{text}` was not said:\n{}", self.all);
    }

    /// Reads until the name of the run, by which it can be resumed.
    #[track_caller]
    pub(crate) fn run_name(&mut self) -> String {
        loop {
            if let Some(name) = self.until("run ").strip_prefix("run ") {
                return name.to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, &self.child);
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Waits for its end; the code, and all that it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        for line in self.lines.by_ref().map_while(Result::ok) {
            self.all += &line;
            self.all.push('\n');
        }
        let status = self.child.wait().expect("ended");
        (status.code().unwrap_or(-1), self.all)
    }
}

/// Sends it a signal, named as `kill` has it.
pub(crate) fn signal(name: &str, child: &Child) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}
