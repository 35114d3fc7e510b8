//! Lines from a person or a pipe, one command each.
//!
//! The terminal blocks its reader, but the session needs pings: a thread reads lines, and the
//! client stays on the main one, which answers the reader and keeps the session alive between.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper};

use super::Arguments;
use super::command::{Command, Kind, TABLE};
use super::outcome::{Outcome, Trouble};
use super::session::exit_code;
use super::terminal::{Terminal, say};
use super::{execute, show, words};
use crate::client::{Client, Error};
use crate::exit::{self, Failure};

/// Between two looks at the socket while nobody types.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const HISTORY_LINES_MAX: usize = 1000;
const HISTORY_LINES_SHOWN: usize = 11;

enum FromReader {
    Line(String),
    /// Wants the paths that begin with this.
    Complete(String, Sender<Vec<String>>),
    /// Events are printed through this, so that the line being edited stays whole.
    Printer(Box<dyn ExternalPrinter + Send>),
    End,
}

pub(super) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let zk = arguments.connect(&arguments.server)?;
    let (sender, receiver) = mpsc::channel();
    let (prompts, prompted) = mpsc::channel();
    let reader = if io::stdin().is_terminal() {
        say("Welcome to the coordinator! `help` lists the commands");
        std::thread::spawn(move || edit_lines(&sender, &prompted))
    } else {
        std::thread::spawn(move || read_lines(&sender, &prompted))
    };
    let terminal = Terminal { json: arguments.json };
    let servers = arguments.server.clone();
    let shell = Shell {
        arguments,
        servers,
        zk: Some(zk),
        terminal,
        print_watches: true,
        history: Vec::new(),
        printer: None,
        code: exit::OK,
        expired_told: false,
    };
    let code = shell.serve(&receiver, &prompts);
    // Without a next prompt the reader saves its history and ends.
    drop(prompts);
    let _ = reader.join();
    Ok(code)
}

struct Shell {
    arguments: Arguments,
    servers: String,
    /// None between `close` and `connect`.
    zk: Option<Client>,
    terminal: Terminal,
    print_watches: bool,
    history: Vec<String>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    /// Of the first command that failed.
    code: u8,
    expired_told: bool,
}

impl Shell {
    fn serve(mut self, receiver: &Receiver<FromReader>, prompts: &Sender<String>) -> u8 {
        let _ = prompts.send(self.prompt());
        loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(FromReader::Line(line)) => {
                    if !self.line(&line) {
                        break;
                    }
                    if prompts.send(self.prompt()).is_err() {
                        break;
                    }
                }
                Ok(FromReader::Complete(prefix, answer)) => {
                    let _ = answer.send(self.paths(&prefix));
                }
                Ok(FromReader::Printer(printer)) => self.printer = Some(printer),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(FromReader::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The session ends with us either way; a server that is gone is no news now.
        if let Some(zk) = self.zk {
            let _ = zk.close();
        }
        self.code
    }

    fn prompt(&self) -> String {
        let state = match &self.zk {
            None => "CLOSED",
            Some(zk) if zk.is_connected() => "CONNECTED",
            Some(_) => "CONNECTING",
        };
        format!("[zk: {}({state}) {}] ", self.servers, self.history.len())
    }

    /// Keeps the session and prints what came.
    fn look(&mut self) {
        let Some(zk) = &mut self.zk else { return };
        if let Err(error) = zk.poll(Duration::from_millis(1))
            && error == Error::SessionExpired
            && !self.expired_told
        {
            self.expired_told = true;
            say("Session expired: `connect HOST:PORT` starts another");
        }
        self.print_events();
    }

    fn print_events(&mut self) {
        while let Some(event) = self.zk.as_mut().and_then(Client::take_event) {
            if !self.print_watches {
                continue;
            }
            match &mut self.printer {
                Some(printer) if !self.terminal.json => {
                    let _ = printer.print(show::event_text(&event));
                }
                _ => {
                    let _ = self.terminal.outcome(&Outcome::Event(event));
                }
            }
        }
    }

    /// False when it was the last one.
    fn line(&mut self, line: &str) -> bool {
        if line.trim().is_empty() {
            return true;
        }
        self.history.push(line.to_owned());
        let command = self
            .again(line)
            .and_then(|line| words::split(&line))
            .and_then(|words| Command::parse(&words));
        let outcome = match command {
            Err(why) => Err(Trouble::Usage(why)),
            Ok(command) if command.spec.kind == Kind::Quit => return false,
            Ok(command) => self.command(&command),
        };
        let written = match &outcome {
            Ok(outcome) => self.terminal.outcome(outcome),
            Err(trouble) => {
                if self.code == exit::OK {
                    self.code = exit_code(trouble);
                }
                self.terminal.trouble(trouble)
            }
        };
        self.print_events();
        written.is_ok()
    }

    /// The line itself, or the earlier one that it asks for, which then takes its place.
    fn again(&mut self, line: &str) -> Result<String, String> {
        let is_redo = |line: &str| line.split_whitespace().next() == Some("redo");
        let Some(number) = line.split_whitespace().nth(1).filter(|_| is_redo(line)) else {
            return Ok(line.to_owned());
        };
        let number: usize =
            number.parse().map_err(|_| format!("`{number}` is no number of a command"))?;
        let (this, earlier) = self.history.split_last_mut().ok_or("no command entered")?;
        let earlier = earlier.get(number).ok_or("Command index out of range")?;
        if is_redo(earlier) {
            return Err("No redoing redos".to_owned());
        }
        this.clone_from(earlier);
        Ok(earlier.clone())
    }

    fn command(&mut self, command: &Command) -> Result<Outcome, Trouble> {
        if let Some(outcome) = execute::without_server(command) {
            return outcome;
        }
        match (command.spec.kind, command.arguments.first()) {
            (Kind::History, _) => {
                let first = self.history.len().saturating_sub(HISTORY_LINES_SHOWN);
                let lines: Vec<String> = (first..)
                    .zip(&self.history[first..])
                    .map(|(number, line)| format!("{number} - {line}"))
                    .collect();
                Ok(Outcome::Said(lines.join("\n")))
            }
            (Kind::PrintWatches, None) => {
                let state = if self.print_watches { "on" } else { "off" };
                Ok(Outcome::Said(format!("printwatches is {state}")))
            }
            (Kind::PrintWatches, Some(state)) => {
                self.print_watches = state == "on";
                Ok(Outcome::Nothing)
            }
            (Kind::Close, _) => {
                if let Some(zk) = self.zk.take() {
                    let _ = zk.close();
                }
                Ok(Outcome::Nothing)
            }
            (Kind::Connect, Some(servers)) => {
                let zk = self
                    .arguments
                    .connect(servers)
                    .map_err(|failure| Trouble::Refused(failure.message))?;
                servers.clone_into(&mut self.servers);
                self.expired_told = false;
                if let Some(before) = self.zk.replace(zk) {
                    let _ = before.close();
                }
                Ok(Outcome::Nothing)
            }
            _ => match &mut self.zk {
                Some(zk) => execute::execute(zk, command),
                None => Err(Trouble::Refused("Not connected".to_owned())),
            },
        }
    }

    /// Children of the directory part that begin with the rest.
    fn paths(&mut self, prefix: &str) -> Vec<String> {
        let Some(zk) = &mut self.zk else { return Vec::new() };
        let (parent, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let directory = if parent.is_empty() { "/" } else { parent };
        let Ok((mut names, _)) = zk.get_children(directory, false) else { return Vec::new() };
        names.retain(|child| child.starts_with(name));
        names.sort_unstable();
        names.into_iter().map(|child| format!("{parent}/{child}")).collect()
    }
}

/// From a pipe: a line for each prompt, no prompt shown.
fn read_lines(sender: &Sender<FromReader>, prompted: &Receiver<String>) {
    let mut lines = io::stdin().lock().lines();
    while prompted.recv().is_ok() {
        let message = match lines.next() {
            Some(Ok(line)) => FromReader::Line(line),
            _ => FromReader::End,
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}

/// From a person, with editing, history and completion.
fn edit_lines(sender: &Sender<FromReader>, prompted: &Receiver<String>) {
    if let Err(error) = try_edit_lines(sender, prompted) {
        say(&format!("cannot read from the terminal: {error}"));
    }
    let _ = sender.send(FromReader::End);
}

fn try_edit_lines(
    sender: &Sender<FromReader>,
    prompted: &Receiver<String>,
) -> rustyline::Result<()> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_space(true)
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Completion, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Completion { sender: sender.clone() }));
    if let Ok(printer) = editor.create_external_printer() {
        let _ = sender.send(FromReader::Printer(Box::new(printer)));
    }
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    while let Ok(prompt) = prompted.recv() {
        match editor.readline(&prompt) {
            Ok(line) => {
                // Passwords do not belong into a file.
                if !line.trim_start().to_ascii_lowercase().starts_with("addauth") {
                    editor.add_history_entry(line.as_str())?;
                }
                if sender.send(FromReader::Line(line)).is_err() {
                    break;
                }
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
            Err(error) => return Err(error),
        }
    }
    if let Some(file) = &history {
        editor.save_history(file)?;
    }
    Ok(())
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"))
    })?;
    let directory = state.join("coordinator");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("shell_history"))
}

/// Commands by name, then paths by asking the client's thread.
struct Completion {
    sender: Sender<FromReader>,
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let start = line[..position].rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = &line[start..position];
        if start == 0 {
            let names = TABLE.iter().flat_map(|spec| [Some(spec.name), spec.alias]).flatten();
            let known = names.filter(|name| name.starts_with(word)).map(|name| format!("{name} "));
            return Ok((0, known.collect()));
        }
        if !word.starts_with('/') {
            return Ok((start, Vec::new()));
        }
        let (answer, paths) = mpsc::channel();
        let asked = self.sender.send(FromReader::Complete(word.to_owned(), answer)).is_ok();
        let paths = if asked { paths.recv().unwrap_or_default() } else { Vec::new() };
        Ok((start, paths))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl Helper for Completion {}
