//! Logins through the user's own OpenSSH: one control master per host, started here so that its
//! options and its words are known, and spoken to through the `openssh` crate's native multiplexing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::conversation::{Ended, Event, Go, Payload, Stop, converse, patience};
use crate::host::refused::{Refused, host_key, read_words, read_words_end};
use crate::host::ssh_config;
use crate::inventory::{Become, Host, Secret, SshTarget};
use crate::script::{self, Script};

/// Logins being made at the same time. An sshd drops connections beyond ten unauthenticated ones
/// (`MaxStartups 10:30:100`); hosts are many, but they may stand behind one jump host.
const CONNECTS_MAX: usize = 16;
/// Attempts to connect; only this phase is ever repeated.
const CONNECT_ATTEMPTS: u32 = 4;
/// A master without a client ends by itself after this long, should zkprov be killed; as long as it
/// lives, [`Link`] is a client.
const IDLE_S: u32 = 60;

/// After so many of five seconds a connection counts as lost; ssh goes by it while it logs in, too.
const SILENCES: &str = "ServerAliveCountMax=3";
/// Where a directory or a name server takes half a minute to let somebody in.
const SILENCES_SLOW: &str = "ServerAliveCountMax=9";
/// What a login may take behind the key exchange.
const LOGIN: Duration = Duration::from_secs(45);
/// Found whatever the login has made of PATH.
const SUDO: &str = "/usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin sudo";

/// Makes logins; holds what all of them share.
#[derive(Debug)]
pub struct Connector {
    /// Control sockets and logs. Short, since a socket's path may be 104 bytes long.
    folder: tempfile::TempDir,
    connects: Semaphore,
    number: AtomicUsize,
    /// `--accept-new-host-keys`.
    accept_new: bool,
    password: Option<Secret>,
    stop: Stop,
    /// What the person should know although nothing failed: host keys taken on.
    notices: Mutex<Vec<String>>,
    /// Where the user has no wish.
    prefer_aes: AtomicBool,
}

impl Connector {
    pub fn new(accept_new: bool, password: Option<Secret>, stop: Stop) -> Result<Self, Failure> {
        let parent = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_dir() && folder.as_os_str().len() < 40)
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        let folder =
            tempfile::Builder::new().prefix("zkp").tempdir_in(&parent).map_err(|error| {
                Failure::failed(format!(
                    "cannot make a folder for ssh sockets in `{}`: {error}",
                    parent.display()
                ))
            })?;
        Ok(Self {
            folder,
            connects: Semaphore::new(CONNECTS_MAX),
            number: AtomicUsize::new(0),
            accept_new,
            password,
            stop,
            notices: Mutex::new(Vec::new()),
            prefer_aes: AtomicBool::new(ssh_config::has_aes()),
        })
    }

    /// Takes the notices that have come up since the last call.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().expect("no panic while held"))
    }

    /// One login. Tried again only where the server or the network dropped it before it began.
    pub async fn connect(&self, host: &Host) -> Result<Link, Failure> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut pause = Duration::from_millis(150);
        let mut silences = SILENCES;
        for attempt in 1.. {
            let refused = {
                let _permit = self.connects.acquire().await.expect("never closed");
                let base = self.folder.path().join(format!("{number}-{attempt}"));
                match self.login(&host.ssh, &base, silences).await {
                    Ok(log) => {
                        self.notice(host, &log);
                        let session = openssh::Session::resume_mux(
                            base.clone().into_boxed_path(),
                            Some(base.with_extension("log").into_boxed_path()),
                        );
                        return Ok(Link {
                            _client: std::os::unix::net::UnixStream::connect(&base).ok(),
                            channel: Channel::Ssh(session, base),
                            escalation: self.escalation(host),
                            stop: self.stop.clone(),
                        });
                    }
                    Err(refused) => refused,
                }
            };
            let too_slow = refused.slow && silences == SILENCES_SLOW;
            if !refused.passing || too_slow || attempt == CONNECT_ATTEMPTS {
                return Err(refused.failure.host(&host.name));
            }
            if refused.slow {
                silences = SILENCES_SLOW;
            }
            tokio::time::sleep(jittered(pause)).await;
            pause *= 3;
        }
        unreachable!("the last attempt returns")
    }

    fn escalation(&self, host: &Host) -> Escalation {
        match (host.r#become, &self.password) {
            (Become::None, _) => Escalation::None,
            (Become::Sudo, None) => Escalation::Sudo,
            (Become::Sudo, Some(password)) => Escalation::Password(password.clone()),
        }
    }

    /// Starts the control master and waits until it has logged in; returns its log.
    async fn login(
        &self,
        target: &SshTarget,
        base: &Path,
        silences: &str,
    ) -> Result<String, Refused> {
        let local = |error: std::io::Error| Refused::for_good(format!("cannot run `ssh`: {error}"));
        let log_file = base.with_extension("log");
        // Banners, and what a jump host's ssh says, go past the log.
        let words_file = base.with_extension("words");
        let words = std::fs::File::create(&words_file).map_err(local)?;
        let mut command = tokio::process::Command::new("ssh");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .kill_on_drop(true)
            .args(["-M", "-N", "-f", "-S"])
            .arg(base)
            .arg("-E")
            .arg(&log_file);
        for option in [
            "BatchMode=yes",
            // Debug level 1 tells the host key's fingerprint; the log is ours alone.
            "LogLevel=DEBUG1",
            "ServerAliveInterval=5",
            silences,
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "RequestTTY=no",
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("-o").arg(format!("ControlPersist={IDLE_S}s"));
        let timeout = Duration::from_millis(target.connect_timeout_ms.max(1000));
        command.arg("-o").arg(format!("ConnectTimeout={}", timeout.as_secs()));
        if self.accept_new {
            command.arg("-o").arg("StrictHostKeyChecking=accept-new");
        }
        if let Some(port) = target.port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &target.user {
            command.arg("-l").arg(user);
        }
        if let Some(identity) = &target.identity_file {
            command.arg("-o").arg("IdentitiesOnly=yes").arg("-i").arg(identity);
        }
        // ssh looks for a relative name in ~/.ssh, not where the inventory lies.
        let config = target.config.as_deref().map(std::path::absolute).transpose();
        let config = config.map_err(local)?;
        let aes = self.prefer_aes.load(Ordering::Relaxed);
        if config.is_some() || aes {
            let file = base.with_extension("conf");
            let text = ssh_config::written(config.as_deref(), aes);
            std::fs::write(&file, text).map_err(local)?;
            command.arg("-F").arg(file);
        }
        command.arg("--").arg(&target.host);
        // ConnectTimeout ends with the key exchange. Behind it names are looked up and directories asked,
        // which may take half a minute where one of their servers is away.
        let limit = timeout + LOGIN;
        let status = match tokio::time::timeout(limit, command.status()).await {
            Ok(status) => status.map_err(local)?,
            Err(_) => {
                return Err(Refused::for_good(format!(
                    "no login at `{}` within {} s",
                    target.host,
                    limit.as_secs()
                ))
                .with_words(&read_words(&words_file), ""));
            }
        };
        let log =
            String::from_utf8_lossy(&std::fs::read(&log_file).unwrap_or_default()).into_owned();
        if status.success() {
            return Ok(log);
        }
        let mut refused =
            Refused::understand(target, &log).with_words(&read_words(&words_file), &log);
        if ssh_config::ciphers_refused(&log) {
            self.prefer_aes.store(false, Ordering::Relaxed);
            refused.passing = true;
        }
        Err(refused)
    }

    /// A key that was not known before and is now must be told, whoever's setting accepted it.
    fn notice(&self, host: &Host, log: &str) {
        if !log.contains("Permanently added") {
            return;
        }
        let key = host_key(log).unwrap_or("(fingerprint unknown)");
        let by = if self.accept_new { "" } else { ", by your ssh configuration" };
        self.notices
            .lock()
            .expect("no panic while held")
            .push(format!("{}: new host key accepted{by}: {key}", host.name));
    }
}

/// Half to one and a half of `pause`: many hosts must not come back in step.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    pause / 2 + pause.mul_f64((random % 1000) as f64 / 1000.0)
}

/// How a script becomes root.
#[derive(Clone, Debug)]
enum Escalation {
    None,
    Sudo,
    Password(Secret),
}

#[derive(Debug)]
enum Channel {
    Ssh(openssh::Session, PathBuf),
    /// This machine's own `/bin/sh`, for tests of what scripts do.
    Local,
}

/// One login. [`Link::close`] it: a dropped one lingers until its master is idle long enough.
#[derive(Debug)]
pub struct Link {
    /// A host may have nothing to do for minutes, while others are rolled: the open connection is what
    /// its master sees as a client, and it ends with this process, however that ends.
    _client: Option<std::os::unix::net::UnixStream>,
    channel: Channel,
    escalation: Escalation,
    stop: Stop,
}

impl Link {
    /// Scripts run on this machine, as the present user.
    pub fn local(stop: Stop) -> Self {
        Self { _client: None, channel: Channel::Local, escalation: Escalation::None, stop }
    }

    /// Runs one script to its end. The script guards itself against `deadline`; here the wait is a
    /// little longer, for a host that is frozen.
    pub async fn run(
        &self,
        script: &Script,
        payloads: &[Payload],
        deadline: Duration,
        hear: impl FnMut(Event),
    ) -> Result<Ended, Failure> {
        self.run_until(script, payloads, deadline, None, self.stop.clone(), hear).await
    }

    /// The same for a script that waits for the word to go on, or has its own reason to stop.
    pub async fn run_until(
        &self,
        script: &Script,
        payloads: &[Payload],
        deadline: Duration,
        go: Option<Go>,
        stop: Stop,
        hear: impl FnMut(Event),
    ) -> Result<Ended, Failure> {
        let limit = patience(deadline);
        match tokio::time::timeout(limit, self.run_unlimited(script, payloads, go, stop, hear))
            .await
        {
            Ok(ended) => ended,
            Err(_) => Err(Failure::failed(format!("no end within {} s", limit.as_secs()))),
        }
    }

    /// As [`Link::run`] for a script that waits for the word to go on.
    pub async fn run_when(
        &self,
        script: &Script,
        payloads: &[Payload],
        deadline: Duration,
        go: Go,
        hear: impl FnMut(Event),
    ) -> Result<Ended, Failure> {
        self.run_until(script, payloads, deadline, Some(go), self.stop.clone(), hear).await
    }

    async fn run_unlimited(
        &self,
        script: &Script,
        payloads: &[Payload],
        go: Option<Go>,
        stop: Stop,
        hear: impl FnMut(Event),
    ) -> Result<Ended, Failure> {
        let mut packed = script.pack();
        // What sudo runs it writes into the journal.
        let bare = matches!(self.escalation, Escalation::None);
        let carrier = if bare { script.carrier(&packed) } else { None };
        if carrier.is_some() {
            packed.clear();
        }
        let loader = carrier.unwrap_or_else(|| script::loader(packed.len()));
        let talk = (script.nonce(), &packed[..]);
        match &self.channel {
            Channel::Local => {
                let mut child = tokio::process::Command::new("/bin/sh")
                    .arg("-c")
                    .arg(&loader)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .process_group(0)
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|error| Failure::failed(format!("cannot run /bin/sh: {error}")))?;
                let (Some(stdin), Some(stdout), Some(stderr)) =
                    (child.stdin.take(), child.stdout.take(), child.stderr.take())
                else {
                    unreachable!("all three were asked for")
                };
                let (unsent, stderr) =
                    converse(talk, payloads, (stdin, stdout, stderr), go, stop, hear).await?;
                let status = child.wait().await.ok().and_then(|status| status.code());
                Ok(Ended { status, stderr, unsent })
            }
            Channel::Ssh(session, _) => {
                self.run_over_ssh(session, talk, &loader, payloads, go, stop, hear).await
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what one conversation consists of")]
    async fn run_over_ssh(
        &self,
        session: &openssh::Session,
        talk: (&str, &[u8]),
        loader: &str,
        payloads: &[Payload],
        go: Option<Go>,
        stop: Stop,
        hear: impl FnMut(Event),
    ) -> Result<Ended, Failure> {
        let lost = |error: openssh::Error| self.no_session(&error);
        let mark = format!("zkprov-{}", talk.0);
        let command = match &self.escalation {
            Escalation::None => loader.to_owned(),
            Escalation::Sudo => format!("{SUDO} -n -- {loader}"),
            // -k: always asks where a password is needed, so that it is never taken for a payload.
            Escalation::Password(_) => format!(
                "{SUDO} -k -S -p {mark}-password -- {}",
                loader.replacen("eval", &format!("echo {mark}-ready >&2; eval"), 1)
            ),
        };
        let mut child = session
            .raw_command(command)
            .stdin(openssh::Stdio::piped())
            .stdout(openssh::Stdio::piped())
            .stderr(openssh::Stdio::piped())
            .spawn()
            .await
            .map_err(lost)?;
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin().take(), child.stdout().take(), child.stderr().take())
        else {
            unreachable!("all three were asked for")
        };
        if let Escalation::Password(password) = &self.escalation {
            give_password(&mark, password, &mut stdin, &mut stderr).await?;
        }
        let (unsent, stderr) =
            converse(talk, payloads, (stdin, stdout, stderr), go, stop, hear).await?;
        let status = match child.wait().await {
            Ok(status) => status.code(),
            // 127; the crate's name for "command not found".
            Err(openssh::Error::Remote(_)) => Some(127),
            Err(_) => None,
        };
        if status == Some(1)
            && matches!(self.escalation, Escalation::Sudo)
            && let Some(failure) = sudo_refusal(&stderr)
        {
            return Err(failure);
        }
        Ok(Ended { status, stderr, unsent })
    }

    /// Why there is no session although there is a login: what its master has logged says more than the
    /// crate's error.
    fn no_session(&self, error: &openssh::Error) -> Failure {
        let log = match &self.channel {
            Channel::Ssh(_, base) => read_words_end(&base.with_extension("log")),
            Channel::Local => String::new(),
        };
        let said = log.lines().rev().map(str::trim).filter(|line| !line.starts_with("debug"));
        let said = said.take(3).collect::<Vec<_>>().join(" / ");
        let mut causes = format!("{error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes = format!("{causes}: {cause}");
            source = cause.source();
        }
        let refused = [&said, &causes].iter().any(|text| {
            text.contains("administratively prohibited")
                || text.contains("refused by peer")
                || text.contains("open failed")
        });
        if refused {
            return Failure::new(
                Exit::Unreachable,
                format!("the host refuses one more session on the login that it gave: {causes}; ssh said: {said}"),
            )
            .hint("zkprov needs three at a time: is `MaxSessions` of the host's sshd below that? nothing was begun in it");
        }
        let said = if said.is_empty() { said } else { format!("; ssh said: {said}") };
        Failure::new(Exit::Unreachable, format!("the connection was lost: {causes}{said}"))
    }

    /// Ends the login, and the control master with it.
    pub async fn close(self) {
        if let Channel::Ssh(session, base) = self.channel {
            // A host that no longer answers must not hold up the end of a run.
            let closed = tokio::time::timeout(Duration::from_secs(2), session.close()).await;
            if !matches!(closed, Ok(Ok(()))) {
                let exit = tokio::process::Command::new("ssh")
                    .args(["-F", "none", "-O", "exit", "-S"])
                    .arg(base)
                    .arg("zkprov")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .status();
                let _ = tokio::time::timeout(Duration::from_secs(2), exit).await;
            }
        }
    }
}

/// Answers sudo's prompt, if there is one, and only then. The marks are random, so no banner can
/// ask for the password.
async fn give_password(
    mark: &str,
    password: &Secret,
    stdin: &mut openssh::ChildStdin,
    stderr: &mut openssh::ChildStderr,
) -> Result<(), Failure> {
    let prompt = format!("{mark}-password");
    let ready = format!("{mark}-ready");
    let mut said = String::new();
    let mut given = false;
    let mut piece = [0; 512];
    loop {
        if said.contains(&ready) {
            return Ok(());
        }
        if let Some(at) = said.find(&prompt) {
            if given {
                return Err(Failure::new(Exit::Unreachable, "sudo does not accept the password")
                    .hint("run again with --ask-become-pass and this host's password"));
            }
            said.drain(..at + prompt.len());
            let line = [password.reveal(), b"\n"].concat();
            stdin.write_all(&line).await.map_err(|_| sudo_ended(&said))?;
            given = true;
            continue;
        }
        match stderr.read(&mut piece).await {
            Ok(count @ 1..) if said.len() < 64 << 10 => {
                said.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            _ => return Err(sudo_refusal(&said).unwrap_or_else(|| sudo_ended(&said))),
        }
    }
}

fn sudo_ended(said: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("sudo gave no root shell: {}", said.trim()))
}

/// What sudo said when it refused, in words that tell what to do.
fn sudo_refusal(said: &str) -> Option<Failure> {
    let line = said.lines().find(|line| {
        line.contains("sudo:")
            || line.contains("sudo-rs:")
            || line.contains("is not in the sudoers file")
            || line.contains("is not allowed to")
    })?;
    let failure = Failure::new(Exit::Unreachable, format!("sudo refused: {}", line.trim()));
    Some(if line.contains("must have a tty") {
        failure.hint("the host's sudoers has `requiretty`, which no automation can satisfy; remove it for this user")
    } else if line.contains("password") || line.contains("authentication is required") {
        failure.hint("use --ask-become-pass, or allow this user sudo without a password")
    } else {
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_says_no_in_several_ways() {
        let hint = |said: &str| sudo_refusal(said).and_then(|failure| failure.hint);
        assert!(hint("sudo: a password is required\n").is_some_and(|h| h.contains("--ask")));
        // sudo-rs, which Ubuntu has since 25.10.
        let rust = "sudo: interactive authentication is required\n";
        assert!(hint(rust).is_some_and(|h| h.contains("--ask")));
        assert!(
            hint("sudo: sorry, you must have a tty to run sudo")
                .is_some_and(|h| h.contains("requiretty"))
        );
        assert!(sudo_refusal("some script wrote this").is_none());
    }
}
