//! Writers that hold ephemerals, and what they have seen: acknowledged writes that are gone, sessions that
//! ended, zxids that went back, the longest time without an acknowledgement.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coordinator::client::{Client, CreateOptions, Error};
use coordinator::wire::code::Code;
use coordinator::wire::request::create_mode;

#[derive(Debug, Default)]
struct Account {
    acknowledged: Vec<String>,
    errors: Vec<String>,
    longest: Duration,
}

pub(super) struct Load {
    servers: String,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Account>>,
}

impl Load {
    pub(super) fn begin(servers: &[String], name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..servers.len()).map(|number| {
            let mut order = servers.to_vec();
            order.rotate_left(number);
            let (stop, name) = (stop.clone(), format!("{name}-{number}"));
            std::thread::spawn(move || write(&order.join(","), &name, &stop))
        });
        Self { servers: servers.join(","), writers: writers.collect(), stop }
    }

    /// Ends the writers and reads everything back.
    pub(super) fn end(self) {
        // What came behind the last step belongs to it.
        std::thread::sleep(Duration::from_secs(2));
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = Account::default();
        for writer in self.writers {
            let account = writer.join().expect("a writer does not panic");
            assert!(!account.acknowledged.is_empty(), "a writer that got nothing through");
            whole.acknowledged.extend(account.acknowledged);
            whole.errors.extend(account.errors);
            whole.longest = whole.longest.max(account.longest);
        }
        let mut zk = Client::connect(&self.servers).expect("a session");
        zk.sync("/").expect("in step");
        let (there, _) = zk.get_children("/", false).expect("the names");
        let there: HashSet<String> = there.into_iter().map(|name| format!("/{name}")).collect();
        let lost: Vec<_> =
            whole.acknowledged.iter().filter(|path| !there.contains(*path)).collect();
        crate::told(&format!(
            "migration: {} writes acknowledged, {} errors, {} lost, longest wait {} ms",
            whole.acknowledged.len(),
            whole.errors.len(),
            lost.len(),
            whole.longest.as_millis()
        ));
        assert!(whole.errors.is_empty(), "{:?}", &whole.errors[..whole.errors.len().min(9)]);
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}

/// One session that lives through it all: an ephemeral of its own at the beginning, one znode after the other,
/// and the same ephemeral, of the same session, at the end.
fn write(servers: &str, name: &str, stop: &AtomicBool) -> Account {
    let mut account = Account::default();
    let mut zk = match Client::connect(servers) {
        Ok(zk) => zk,
        Err(error) => {
            account.errors.push(error.to_string());
            return account;
        }
    };
    let held = format!("/{name}-held");
    let session = zk.session().id;
    let ephemeral = CreateOptions { mode: create_mode::EPHEMERAL, ..CreateOptions::default() };
    if let Err(error) = zk.create(&held, Some(b"held"), ephemeral) {
        account.errors.push(format!("{held}: {error}"));
        return account;
    }
    let (mut number, mut newest) = (0_u32, 0);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let path = format!("/{name}-{number}");
        let begun = Instant::now();
        let mut sent_before = false;
        loop {
            match zk.create(&path, Some(b"x"), CreateOptions::default()) {
                Ok(_) => account.acknowledged.push(path.clone()),
                Err(error) if sent_before && error.code() == Some(Code::NodeExists) => {
                    account.acknowledged.push(path.clone());
                }
                Err(Error::ConnectionLost(_)) => {
                    sent_before = true;
                    continue;
                }
                Err(error) => {
                    account.errors.push(format!("{path}: {error}"));
                    return account;
                }
            }
            break;
        }
        account.longest = account.longest.max(begun.elapsed());
        match zk.exists(&path, false) {
            Ok(Some(stat)) if stat.czxid <= newest => {
                account.errors.push(format!("{path}: zxid {:#x} behind {newest:#x}", stat.czxid));
            }
            Ok(Some(stat)) => newest = stat.czxid,
            Ok(None) => account.errors.push(format!("{path} is gone")),
            Err(Error::ConnectionLost(_)) => {}
            Err(error) => account.errors.push(format!("{path}: {error}")),
        }
    }
    let still = (0..10).find_map(|_| match zk.exists(&held, false) {
        Err(Error::ConnectionLost(_)) => None,
        other => Some(other),
    });
    match still {
        Some(Ok(Some(stat))) if stat.ephemeral_owner == session && zk.session().id == session => {}
        other => account.errors.push(format!("{held}, of session {session:#x}: {other:?}")),
    }
    account
}
