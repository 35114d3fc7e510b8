//! What a process costs, read from `/proc`: CPU time of all its threads and resident memory; and
//! the signals the scenarios send.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Servers and clients that this process has started and that it must not outlive.
static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Remembers a child until [`forget`]: whoever stops the bench stops it too.
pub fn remember(pid: u32) {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
}

/// The child has been waited for.
pub fn forget(pid: u32) {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
}

/// Told to stop, the bench kills what it has started and ends.
pub fn stop_children_on_signals() -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            let children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
            for &pid in &*children {
                let _ = signal(pid, Signal::KILL);
            }
            std::process::exit(128 + number);
        }
    });
    Ok(())
}

/// On-CPU time (user + system) of all threads of `pid`, in the scheduler's nanoseconds.
///
/// `/proc/PID/stat` also counts threads that have ended, but in ticks of 10 ms: it wins when it
/// is ahead by more than those ticks explain.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut threads_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?
    {
        let path = thread?.path().join("schedstat");
        // A thread may end between listing and reading.
        if let Ok(text) = fs::read_to_string(path) {
            threads_ns += text
                .split_ascii_whitespace()
                .next()
                .and_then(|first| first.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    let threads = Duration::from_nanos(threads_ns);
    let ticks = cpu_ticks(pid)? * 10;
    let whole = Duration::from_millis(ticks);
    Ok(if whole > threads + Duration::from_millis(40) { whole } else { threads })
}

fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command may hold blanks and parentheses: count fields after the last `)`.
    let after = stat.rsplit_once(')').context("malformed /proc/PID/stat")?.1;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(next() + next())
}

/// On-CPU time of the calling thread alone.
pub fn own_thread_cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// Resident bytes, shared pages included.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .with_context(|| format!("no VmRSS for process {pid}"))?;
    Ok(kib * 1024)
}

/// The one-minute load average.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let target = Pid::from_raw(pid as i32).context("process id 0")?;
    kill_process(target, signal).with_context(|| format!("signal {signal:?} to process {pid}"))
}

/// Files and sockets this process, and whatever it starts, may have open.
pub fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// As many open files as the system lets this process have, for it and for what it starts.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let most = fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let most = most.and_then(|text| text.trim().parse().ok());
    let wanted = limit.maximum.max(most);
    for target in [wanted, limit.maximum] {
        (limit.current, limit.maximum) = (target, target);
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return;
        }
    }
}
