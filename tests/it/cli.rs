//! The whole command: stdout, stderr and exit code.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use zkprov::exit::Exit;

use crate::golden;
use crate::root;

fn scratch(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{test}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn zkprov(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zkprov"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .expect("zkprov runs")
}

/// Both streams and the exit code, as one text.
fn transcript(folder: &Path, arguments: &[&str]) -> String {
    let output = zkprov(folder, arguments);
    format!(
        "$ zkprov {}\n{}--- stderr\n{}--- exit {}\n",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().expect("an exit code"),
    )
}

#[test]
fn init_writes_what_validate_accepts() {
    let folder = scratch("init");
    let mut text = transcript(&folder, &["init"]);
    text += &transcript(&folder, &["validate"]);
    text += &transcript(&folder, &["init"]);
    text += &transcript(&folder, &["init", "--force", "inventory.yaml"]);
    text += &transcript(&folder, &["validate", "nothing.yaml"]);
    golden("cli/init", &text);
}

#[test]
fn validate_says_everything_and_ends_with_3() {
    let folder = scratch("validate");
    let two = "ensemble: demo\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\n  b: { address: 10.0.0.2, myid: 2 }\n";
    std::fs::write(folder.join("two.yaml"), two).expect("an inventory");
    let wrong = two.replace("myid: 2", "myid: 1, rol: observer");
    std::fs::write(folder.join("wrong.yaml"), wrong).expect("an inventory");
    let mut text = transcript(&folder, &["validate", "two.yaml"]);
    text += &transcript(&folder, &["validate", "--strict", "two.yaml"]);
    text += &transcript(&folder, &["validate", "wrong.yaml"]);
    text += &transcript(&folder, &["template", "list", "wrong.yaml"]);
    text += &transcript(&folder, &["template", "list", "two.yaml"]);
    text += &transcript(&folder, &["template", "show", "myid", "two.yaml", "--host", "c"]);
    golden("cli/validate", &text);
}

#[test]
fn usage_errors_end_with_3_and_help_with_0() {
    let folder = scratch("usage");
    for (arguments, code) in [
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["apply", "--help"], 0),
        (vec![], 3),
        (vec!["aply"], 3),
        (vec!["validate", "--nonsense"], 3),
        (vec!["apply", "--forks", "0"], 3),
    ] {
        let output = zkprov(&folder, &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn the_exit_codes_are_one_table() {
    let help = String::from_utf8(zkprov(root(), &["--help"]).stdout).expect("text");
    let pages = ["README.md", "docs/operations.md"];
    let pages = pages.map(|page| (page, std::fs::read_to_string(root().join(page)).expect(page)));
    for (index, exit) in Exit::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(exit.code()), index);
        assert!(help.contains(&format!("  {index}  {}\n", exit.meaning())), "{help}");
        let row = format!("| {index} | {} |\n", exit.meaning());
        for (page, text) in &pages {
            assert!(text.contains(&row), "{page} lacks {row}");
        }
    }
    // And no code that nobody ends with.
    let rows = |text: &str| {
        let table = text.split("## Exit codes").nth(1).unwrap_or_default();
        let table = table.split("\n## ").next().unwrap_or_default();
        table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| code")).count()
    };
    for (page, text) in &pages {
        assert_eq!(rows(text), Exit::ALL.len(), "{page}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let command =
        format!("{} schema | head -c 1; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_zkprov"));
    let output = Command::new("bash").args(["-c", &command]).output().expect("bash runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

#[test]
fn plans_and_events_have_schemas() {
    for of in ["plan", "events"] {
        let output = zkprov(root(), &["schema", of]);
        assert!(output.status.success());
        golden(&format!("cli/schema-{of}.json"), &String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_schema_has_every_key() {
    let output = zkprov(root(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    golden("cli/schema.json", &String::from_utf8_lossy(&output.stdout));
    let host = &schema["properties"]["hosts"]["additionalProperties"];
    // A host for a broker alone has no `myid`.
    assert_eq!(host["required"], serde_json::json!(["address"]));
    assert_eq!(schema["properties"]["coordinator"]["properties"]["client_port"]["maximum"], 65535);
}

#[test]
fn completions_and_pages_name_every_command() {
    let folder = scratch("man");
    let help = String::from_utf8(zkprov(root(), &["--help"]).stdout).expect("text");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Not the second line of a long description.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    assert_eq!(zkprov(&folder, &["man", "--dir", "man1"]).status.code(), Some(0));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script =
            String::from_utf8(zkprov(&folder, &["completions", shell]).stdout).expect("text");
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
            assert!(folder.join(format!("man1/zkprov-{command}.1")).exists(), "{command}");
        }
    }
}

/// On a terminal of its own: what is typed is not shown, and Ctrl-C gives the terminal back as it was.
#[test]
fn an_interrupted_question_for_a_password_leaves_the_terminal_as_it_was() {
    if !Path::new("/usr/bin/script").exists() {
        crate::skipped(
            "cli::an_interrupted_question",
            "there is no script(1), of package bsdutils",
        );
        return;
    }
    let folder = scratch("password");
    let yaml = "ensemble: t\nhosts:\n  a: { address: 192.0.2.1, myid: 1, become: sudo }\nkafka: { install: false }\n";
    std::fs::write(folder.join("inventory.yaml"), yaml).expect("written");
    let zkprov = env!("CARGO_BIN_EXE_zkprov");
    let line = format!(
        "trap : INT; {zkprov} plan --ask-become-pass; echo \"ended $?\"; stty -a; echo all"
    );
    let mut terminal = Command::new("/usr/bin/script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let mut keys = terminal.stdin.take().expect("piped");
    let mut screen = BufReader::new(terminal.stdout.take().expect("piped"));
    let mut seen = Vec::new();
    screen.read_until(b':', &mut seen).expect("the question");
    while !hidden(&folder) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    keys.write_all(b"hush\x03").expect("typed");
    screen.read_to_end(&mut seen).expect("the end");
    terminal.wait().expect("ended");
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("sudo password:") && seen.contains("ended 130"), "{seen}");
    assert!(!seen.contains("hush"), "{seen}");
    assert!(seen.split_whitespace().any(|word| word == "echo"), "{seen}");
}

/// Whether the terminal of the process that asks in this folder shows nothing of what is typed.
fn hidden(folder: &Path) -> bool {
    let folder = folder.canonicalize().expect("a folder");
    let terminal = |process: PathBuf| {
        let line = std::fs::read(process.join("cmdline")).ok()?;
        let asks = String::from_utf8_lossy(&line).starts_with(env!("CARGO_BIN_EXE_zkprov"));
        let here = std::fs::read_link(process.join("cwd")).ok()? == folder;
        (asks && here).then(|| std::fs::read_link(process.join("fd/0")).ok())?
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let Some(terminal) = processes.map(|entry| entry.path()).find_map(terminal) else {
        return false;
    };
    let settings = Command::new("stty").arg("-F").arg(terminal).arg("-a").output();
    let settings = settings.expect("stty runs").stdout;
    String::from_utf8_lossy(&settings).split_whitespace().any(|word| word == "-echo")
}
