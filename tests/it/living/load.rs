//! Writers through the coordinator's own client, and what they have seen: how many writes were
//! acknowledged, which failed, the longest wait, and whether all are there afterwards.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coordinator::access::Access;
use coordinator::client::{Client, CreateOptions, Error, Options, Servers};
use coordinator::wire::code::Code;

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
pub(super) struct Load {
    servers: String,
    /// Client properties for TLS, which are read anew for whoever comes later.
    client_config: Option<PathBuf>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Account>>,
}

impl Load {
    /// Two writers for each of `servers`, each beginning at another one.
    pub(super) fn begin(servers: &[String], name: &str) -> Self {
        Self::with(servers, name, None)
    }

    /// The same through TLS, by these client properties.
    pub(super) fn secured(servers: &[String], name: &str, client_config: &Path) -> Self {
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
            std::thread::spawn(move || write(&order.join(","), options, &name, &stop))
        });
        let writers = writers.collect();
        Self { servers: servers.join(","), client_config, writers, stop }
    }

    /// Ends the writers and reads everything back: no error, and nothing acknowledged is lost.
    pub(super) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = Account::default();
        for writer in self.writers {
            let account = writer.join().expect("a writer does not panic");
            assert!(!account.acknowledged.is_empty(), "a writer that got nothing through");
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
            "living: {} writes acknowledged, {} errors, {} lost, {} sent again, longest wait {} ms",
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

fn write(servers: &str, options: Options, name: &str, stop: &AtomicBool) -> Account {
    let mut account = Account::default();
    let mut zk = match open(servers, options) {
        Ok(zk) => zk,
        Err(error) => {
            account.errors.push(error.to_string());
            return account;
        }
    };
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let path = format!("/{name}-{number}");
        let begun = Instant::now();
        let mut sent_before = false;
        loop {
            match zk.create(&path, Some(b"x"), CreateOptions::default()) {
                Ok(_) => account.acknowledged.push(path),
                // What was sent before has taken effect: written by this writer, and once.
                Err(error) if sent_before && error.code() == Some(Code::NodeExists) => {
                    account.acknowledged.push(path);
                }
                Err(Error::ConnectionLost(_)) => {
                    account.again += 1;
                    sent_before = true;
                    continue;
                }
                Err(error) => account.errors.push(format!("{path}: {error}")),
            }
            break;
        }
        account.longest = account.longest.max(begun.elapsed());
    }
    account
}
