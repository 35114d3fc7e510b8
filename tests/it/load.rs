//! Writers through the coordinator's own client, each with one session and an ephemeral that live through it
//! all, and what they have seen: acknowledged writes that are gone, sessions that ended, zxids that went back,
//! the longest wait for an acknowledgement.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coordinator::access::Access;
use coordinator::client::{Client, CreateOptions, Error, Options, Servers};
use coordinator::wire::code::Code;
use coordinator::wire::request::create_mode;

/// One writer's account.
#[derive(Debug, Default)]
struct Account {
    acknowledged: Vec<String>,
    /// What was answered instead of an acknowledgement.
    errors: Vec<String>,
    /// Connections that ended under a write, which was sent again: no answer, so no error.
    again: usize,
    longest: Duration,
}

/// Writers at work.
pub(crate) struct Load {
    servers: String,
    /// Client properties for TLS, which are read anew for whoever comes later.
    client_config: Option<PathBuf>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Account>>,
}

impl Load {
    /// Two writers for each of `servers`, each beginning at another one.
    pub(crate) fn begin(servers: &[String], name: &str) -> Self {
        Self::with(servers, name, None)
    }

    /// The same through TLS, by these client properties.
    pub(crate) fn secured(servers: &[String], name: &str, client_config: &Path) -> Self {
        Self::with(servers, name, Some(client_config.into()))
    }

    fn with(servers: &[String], name: &str, client_config: Option<PathBuf>) -> Self {
        let options = options(client_config.as_ref());
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..2 * servers.len()).map(|number| {
            let mut order = servers.to_vec();
            order.rotate_left(number % servers.len());
            let (stop, name) = (stop.clone(), format!("{name}-{number}"));
            let options = options.clone();
            std::thread::spawn(move || {
                let mut account = Account::default();
                if let Err(error) = write(&order.join(","), options, &name, &stop, &mut account) {
                    account.errors.push(error);
                }
                account
            })
        });
        let writers = writers.collect();
        Self { servers: servers.join(","), client_config, writers, stop }
    }

    /// Ends the writers and reads everything back: no error, and nothing acknowledged is lost.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = Account::default();
        for writer in self.writers {
            let account = writer.join().expect("a writer does not panic");
            whole.acknowledged.extend(account.acknowledged);
            whole.errors.extend(account.errors);
            whole.again += account.again;
            whole.longest = whole.longest.max(account.longest);
        }
        let mut zk = open(&self.servers, options(self.client_config.as_ref())).expect("a session");
        zk.sync("/").expect("in step");
        let (there, _) = zk.get_children("/", false).expect("the names");
        let there: HashSet<String> = there.into_iter().map(|name| format!("/{name}")).collect();
        let lost: Vec<_> =
            whole.acknowledged.iter().filter(|path| !there.contains(*path)).collect();
        crate::told(&format!(
            "load: {} writes acknowledged, {} errors, {} lost, {} sent again, longest wait {} ms",
            whole.acknowledged.len(),
            whole.errors.len(),
            lost.len(),
            whole.again,
            whole.longest.as_millis()
        ));
        assert!(whole.errors.is_empty(), "{:?}", &whole.errors[..whole.errors.len().min(9)]);
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}

fn options(client_config: Option<&PathBuf>) -> Options {
    let Some(path) = client_config else { return Options::default() };
    let access = Access { client_config: Some(path.clone()), ..Access::default() };
    access.open().expect("its stores").options(Options::default())
}

fn open(servers: &str, options: Options) -> Result<Client, Error> {
    Client::open(Servers::parse(servers)?, options, None)
}

/// One znode after the other, and the same ephemeral, of the same session, at the end. What is written last
/// begins behind the last step that the load shall live through.
fn write(
    servers: &str,
    options: Options,
    name: &str,
    stop: &AtomicBool,
    account: &mut Account,
) -> Result<(), String> {
    let mut zk = open(servers, options).map_err(|error| error.to_string())?;
    let held = format!("/{name}-held");
    let session = zk.session().id;
    create(&mut zk, &held, create_mode::EPHEMERAL, account)?;
    let (mut number, mut newest, mut last) = (0_u32, 0, false);
    while !last {
        last = stop.load(Ordering::Relaxed);
        number += 1;
        let path = format!("/{name}-{number}");
        create(&mut zk, &path, create_mode::PERSISTENT, account)?;
        account.acknowledged.push(path.clone());
        match exists(&mut zk, &path)? {
            (Some(zxid), _) if zxid > newest => newest = zxid,
            (zxid, _) => return Err(format!("{path}: zxid {zxid:x?} behind {newest:#x}")),
        }
    }
    match exists(&mut zk, &held)? {
        (Some(_), owner) if owner == session && zk.session().id == session => Ok(()),
        found => Err(format!("{held}, of session {session:#x}: {found:x?}")),
    }
}

/// Sent again for as long as the connection ends under it.
fn create(zk: &mut Client, path: &str, mode: i32, account: &mut Account) -> Result<(), String> {
    let begun = Instant::now();
    let mut sent_before = false;
    let created = loop {
        match zk.create(path, Some(b"x"), CreateOptions { mode, ..CreateOptions::default() }) {
            Ok(_) => break Ok(()),
            // What was sent before has taken effect: written by this writer, and once.
            Err(error) if sent_before && error.code() == Some(Code::NodeExists) => break Ok(()),
            Err(Error::ConnectionLost(_)) => {
                account.again += 1;
                sent_before = true;
            }
            Err(error) => break Err(format!("{path}: {error}")),
        }
    };
    account.longest = account.longest.max(begun.elapsed());
    created
}

/// The zxid by which it was made, where it is there, and whose it is.
fn exists(zk: &mut Client, path: &str) -> Result<(Option<i64>, i64), String> {
    loop {
        match zk.exists(path, false) {
            Ok(stat) => {
                let zxid = stat.as_ref().map(|stat| stat.czxid);
                return Ok((zxid, stat.map_or(0, |stat| stat.ephemeral_owner)));
            }
            Err(Error::ConnectionLost(_)) => {}
            Err(error) => return Err(format!("{path}: {error}")),
        }
    }
}
