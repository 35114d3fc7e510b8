//! Assembles the POSIX shell that runs on a host. Shell lives in `.sh` files; what is put together
//! here are calls of their functions, with arguments that pass through the one quoting function.

pub mod frame;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

const PRELUDE: &str = include_str!("prelude.sh");

/// Well below an argument's 128 KiB when it is written in base64, and one flight of packets.
const COMMAND_PACKED_BYTES_MAX: usize = 32 << 10;

/// A value as the shell reads it back, whatever bytes it holds (NUL excepted, which no shell can).
pub fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// One call of a shell function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(String);

impl Call {
    pub fn new<'a>(function: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut line = function.to_owned();
        for argument in arguments {
            line.push(' ');
            line.push_str(&quote(argument));
        }
        Self(line)
    }
}

/// A whole script: the prelude, the libraries it needs, and a `main` made of calls.
#[derive(Clone, Debug)]
pub struct Script {
    nonce: String,
    open: bool,
    libraries: Vec<&'static str>,
    body: Vec<String>,
}

impl Script {
    /// `nonce` marks the frames of this run.
    pub fn new(nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), open: false, libraries: Vec::new(), body: Vec::new() }
    }

    /// With a nonce of its own; the host ends it after `limit`, whatever the controller does.
    pub fn guarded(limit: Duration) -> Self {
        let mut script = Self::new(&nonce());
        script.call("zk_guard", [limit.as_secs().to_string().as_str()]);
        script
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Nothing in it is secret: it may be seen in the host's list of processes. Only such a script can
    /// travel as the command itself, which saves the round trip until the host takes input.
    pub fn open(&mut self) {
        self.open = true;
    }

    /// Makes the functions of a `.sh` file known to the script.
    pub fn library(&mut self, text: &'static str) {
        if !self.libraries.contains(&text) {
            self.libraries.push(text);
        }
    }

    pub fn call<'a>(&mut self, function: &str, arguments: impl IntoIterator<Item = &'a str>) {
        self.push(Call::new(function, arguments));
    }

    pub fn push(&mut self, call: Call) {
        self.body.push(call.0);
    }

    /// One step of a plan: `function` is called under the eyes of `zk_step`.
    pub fn step<'a>(
        &mut self,
        name: &'a str,
        function: &'a str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) {
        self.call("zk_step", [name, function].into_iter().chain(arguments));
    }

    /// A line of the script's own grammar (`if`, `&`, `wait`): program text, never a value.
    pub fn line(&mut self, text: &'static str) {
        self.body.push(text.to_owned());
    }

    /// The command that carries the whole script, if it may and can: an argument has at most 128 KiB.
    pub fn carrier(&self, packed: &[u8]) -> Option<String> {
        let fits = self.open && packed.len() < COMMAND_PACKED_BYTES_MAX;
        fits.then(|| running(&format!("echo {} | base64 -d", BASE64_STANDARD.encode(packed))))
    }

    /// What travels: the text by gzip, so that it fits into what a fresh connection may send before it
    /// waits for the other end (some 14 kB). A longer one costs a round trip more.
    pub fn pack(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(self.render().as_bytes());
        written.and_then(|()| encoder.finish()).expect("memory takes any number of bytes")
    }

    /// The text to run. `main` is called on the last line: of a script that arrives cut off, nothing
    /// runs at all.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        text.push_str("zk_main() {\nzk_nonce=");
        text.push_str(&quote(&self.nonce));
        text.push('\n');
        text.push_str(&code(PRELUDE));
        for library in &self.libraries {
            text.push_str(&code(library));
        }
        for line in &self.body {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("}\nzk_main\n");
        text
    }
}

/// A library without its comment lines: they are for whoever reads the file, not for the wire.
fn code(library: &str) -> String {
    library
        .lines()
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// What is given to ssh as the command: reads exactly the packed script's bytes from stdin, then runs it.
///
/// A shell told to read its script from stdin reads ahead (dash does) and would swallow the payloads
/// behind it.
pub fn loader(packed_bytes: usize) -> String {
    running(&format!("dd bs=65536 iflag=fullblock,count_bytes count={packed_bytes} 2>/dev/null"))
}

/// A command that runs the packed script which `source` prints.
///
/// Single quotes mean the same to every login shell, csh and fish included. A login may have ruined
/// PATH; the script sets its own, what stands before it cannot rely on any.
fn running(source: &str) -> String {
    format!("/bin/sh -c 'PATH=/usr/bin:/bin:$PATH; eval \"$({source} | gzip -dc)\"'")
}

/// 128 random bits in hex: marks frames and prompts so that nothing else can be taken for them.
pub fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&RandomState::new().build_hasher().finish().to_ne_bytes());
        }
    }
    crate::digest::hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn quoting_survives_a_shell() {
        for value in ["", "plain", "it's", "a  b\n\tc", "$(id) `id` \\ \" ! * ~", "--", "é\u{1}"] {
            let script = format!("printf %s {}", quote(value));
            let output = Command::new("/bin/sh").arg("-c").arg(script).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&output.stdout), value);
        }
    }

    #[test]
    fn only_an_open_script_travels_as_the_command() {
        let mut script = Script::new("n0");
        script.call("echo", ["it's here; \\ $HOME"]);
        assert_eq!(script.carrier(&script.pack()), None);
        script.open();
        let command = script.carrier(&script.pack()).expect("it is small");
        let output = Command::new("/bin/sh").arg("-c").arg(command).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's here; \\ $HOME\n");
        assert_eq!(script.carrier(&vec![0; COMMAND_PACKED_BYTES_MAX]), None);
    }

    #[test]
    fn a_cut_script_runs_nothing() {
        let mut script = Script::new("n0");
        script.call("touch", ["/nonexistent/never"]);
        script.call("echo", ["ran"]);
        let text = script.render();
        let run = |text: &str| {
            let output = Command::new("/bin/sh").arg("-c").arg(text).output().expect("sh");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(run(&text).contains("ran"));
        let body = text.len() - "\nzk_main\n".len();
        for cut in (text.len() - 200..body).step_by(7) {
            assert_eq!(run(&text[..cut]), "", "cut after {cut} bytes");
        }
    }
}
