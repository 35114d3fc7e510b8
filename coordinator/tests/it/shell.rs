//! The shell against real servers: what it prints, beside what `zkCli.sh` prints.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::{Engine, Ensemble, skip};

const ZKCLI: &str = "/usr/share/zookeeper/bin/zkCli.sh";

/// Commands whose output people know by heart. `@` is a znode of the run's own.
const KNOWN: &str = "\
create @ top
create @/a hello
create @/a/b
create -s @/a/q- x
create -e @/e
create -c @/c
create -t 600000 @/t soon
create @/sp 'hello there'
ls @
ls -s @/a
ls -R @
get @/a
get -s @/a
get @/a/b
get @/sp
stat @/a
set @/a more
set -s @/a again
set -v 2 @/a right
set -v 7 @/a wrong
getAcl @/a
getAcl -s @/a
setAcl @/a world:anyone:cdra,ip:127.0.0.1:cdrwa
getAcl @/a
setAcl -s @/a world:anyone:cdrwa
addauth digest user:password
whoami
create @/mine x auth::cdrwa
getAcl @/mine
create @/x/y z
create @/a dup
create @/e/x
delete @/a
delete @/nope
ls @/nope
get @/nope
stat @/nope
set @/nope x
getAcl @/nope
getAllChildrenNumber @
getEphemerals @
sync @
setquota -n 9 @/a
setquota -B 1000 @/a
listquota @/a
delquota -n @/a
listquota @/a
delquota @/a
listquota @/a
deleteall @/a
ls @
config
redo 0
redo 999
redo 53
history
close
ls @
";

#[test]
fn shell_prints_what_zkcli_prints() {
    let test = "shell_prints_what_zkcli_prints";
    if !Path::new(ZKCLI).exists() {
        skip(test, "zkCli.sh is not installed (Debian package `zookeeper`)");
        return;
    }
    if !Engine::Apache.is_there(test) {
        return;
    }
    let server = Ensemble::start(Engine::Apache, test, 1);
    let mut zkcli = Command::new(ZKCLI);
    zkcli
        .args(["-server", server.address(0)])
        .env("CLIENT_JVMFLAGS", "-Dlog4j.configuration=none -XX:TieredStopAtLevel=1");
    let theirs = transcript(&server, zkcli, "/za");
    let ours = transcript(&server, shell(server.address(0)), "/zb");
    assert!(theirs.contains("Created @/a/q-0000000001"), "{theirs}");
    similar(&ours, &theirs);
}

fn shell(address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command.args(["shell", "--server", address]);
    command
}

/// Both streams in the order they were written, with all that differs by run taken out.
fn transcript(server: &Ensemble, mut command: Command, root: &str) -> String {
    let file = server.directory().join(format!("transcript{}", root.replace('/', "-")));
    let out = File::create(&file).unwrap();
    let mut process =
        command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let script = KNOWN.replace('@', root);
    process.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    process.wait().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    text.replace(root, "@").lines().filter(|line| !is_noise(line)).map(normal).collect()
}

/// What `zkCli.sh` says around the answers.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty()
        || ["SLF4J", "Connecting to", "Welcome to", "JLine", "WATCHER::", "WatchedEvent"]
            .iter()
            .any(|noise| line.starts_with(noise))
        // listquota thinks aloud.
        || line.starts_with("absolute path is")
}

fn normal(line: &str) -> String {
    for field in ["cZxid", "mZxid", "pZxid", "ctime", "mtime", "ephemeralOwner"] {
        if let Some(value) = line.strip_prefix(field).and_then(|rest| rest.strip_prefix(" = ")) {
            let kind = if value == "0x0" { value } else { "..." };
            return format!("{field} = {kind}\n");
        }
    }
    format!("{line}\n")
}

fn similar(ours: &str, theirs: &str) {
    let mut wrong = Vec::new();
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    for at in 0..ours.len().max(theirs.len()) {
        if ours.get(at) != theirs.get(at) {
            wrong.push(format!("line {at}: ours {:?}, zkCli's {:?}", ours.get(at), theirs.get(at)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(8)].join("\n"));
}

#[test]
fn shell_against_apache_zookeeper() {
    let test = "shell_against_apache_zookeeper";
    if Engine::Apache.is_there(test) {
        let server = Ensemble::start(Engine::Apache, test, 1);
        all(server.address(0));
        large_subtree(server.address(0));
    }
}

#[test]
fn shell_against_ours() {
    let server = Ensemble::start(Engine::Ours, "shell_against_ours", 1);
    all(server.address(0));
    large_subtree(server.address(0));
}

/// The same transcript from our server as from Apache ZooKeeper, whoever asks.
#[test]
fn transcript_of_ours() {
    let test = "transcript_of_ours";
    if !Engine::Apache.is_there(test) {
        return;
    }
    let theirs = Ensemble::start(Engine::Apache, test, 1);
    let ours = Ensemble::start(Engine::Ours, test, 1);
    let expected = transcript(&theirs, shell(theirs.address(0)), "/za");
    similar(&transcript(&ours, shell(ours.address(0)), "/za"), &expected);
}

/// One-shot commands: data on stdout, talk on stderr, exit codes.
fn all(address: &str) {
    let run = |arguments: &[&str]| {
        let output = shell(address).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let ok = |text: &str| (0, text.to_owned(), String::new());
    assert_eq!(run(&["create", "/shell", "data"]), ok("Created /shell\n"));
    assert_eq!(run(&["get", "/shell"]), ok("data\n"));
    assert_eq!(run(&["set", "/shell", "-1"]), ok(""));
    assert_eq!(run(&["--json", "get", "/shell"]), ok("{\"data\":\"-1\"}\n"));
    assert_eq!(run(&["create", "-s", "/shell/n-"]), ok("Created /shell/n-0000000000\n"));
    assert_eq!(run(&["--json", "ls", "/shell"]), ok("{\"children\":[\"n-0000000000\"]}\n"));
    assert_eq!(run(&["ls", "-R", "/shell"]), ok("/shell\n/shell/n-0000000000\n"));
    let refused = (1, String::new(), "Node not empty: /shell\n".to_owned());
    assert_eq!(run(&["delete", "/shell"]), refused);
    let expected = "{\"error\":{\"code\":-101,\"message\":\"Node does not exist: /no\",\
        \"name\":\"NoNode\"}}\n";
    assert_eq!(run(&["--json", "get", "/no"]), (1, expected.to_owned(), String::new()));
    assert_eq!(run(&["ls"]), (2, String::new(), "ls [-s] [-w] [-R] path\n".to_owned()));
    let (code, _, said) = run(&["get", "relative"]);
    assert_eq!((code, said.as_str()), (2, "Path must start with / character: `relative`\n"));
    // A session ends with its command, and its ephemerals with the session.
    assert_eq!(run(&["create", "-e", "/shell/e"]), ok("Created /shell/e\n"));
    assert_eq!(run(&["ls", "/shell"]), ok("[n-0000000000]\n"));
    assert_eq!(run(&["deleteall", "/shell"]), ok(""));
    assert_eq!(run(&["ls", "/"]), ok("[zookeeper]\n"));
    status(address);
}

fn status(address: &str) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
        let output = command.arg("status").args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&["--server", address, "--probe", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["serving"], &report["probe"]["ok"]), (0, &true.into(), &true.into()));
    assert_eq!(report["nodeCount"], 5, "the probe leaves nothing behind: {text}");
    let (code, text) = run(&["--server", address]);
    assert_eq!(code, 0);
    assert!(text.contains("mode:        standalone\n"), "{text}");
    let (code, text) = run(&["--server", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(text.contains("Connection refused"), "{text}");
}

/// A subtree larger than one transaction, and one with more in flight than the window.
fn large_subtree(address: &str) {
    let mut lines = vec!["create /big".to_owned()];
    lines.extend((0..1500).map(|n| format!("create /big/n{n} x")));
    lines.extend(["ls -R /big", "deleteall /big", "ls -R /big"].map(str::to_owned));
    let script = lines.join("\n");
    let mut process = shell(address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("/big")).count(), 1501);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "Node does not exist: /big\n");
    assert_eq!(output.status.code(), Some(1));
}

/// Without a server there is still help and a version.
#[test]
fn commands_without_a_server() {
    let nobody = PathBuf::from("127.0.0.1:1");
    for (command, expected) in [("help", "ls [-s] [-w] [-R] path"), ("version", "coordinator")] {
        let output = shell(nobody.to_str().unwrap()).arg(command).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected));
    }
    let output =
        shell("127.0.0.1:1").args(["--connect-timeout-ms", "0", "ls", "/"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no server of `127.0.0.1:1` takes a session"), "{said}");
}
