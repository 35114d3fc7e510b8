//! The base system: a minimal Debian (or Ubuntu, where that is the machine's own) which all hosts
//! of all labs share. Built once by debootstrap from the archive this machine itself uses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::record::Release;
use super::tool::{self, run, tool};
use crate::failure::Failure;
use crate::report;

/// What every host has, for ssh, systemd, sudo and a look around.
const PACKAGES: [&str; 12] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "iproute2",
    "iputils-ping",
    "netcat-openbsd",
    "python3",
    "procps",
    "ca-certificates",
];

/// A Java that runs Kafka's brokers.
const JAVA: &str = "default-jre-headless";

/// What the hosts of a lab are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Flavour {
    /// Bare: nothing that zkprov does not need.
    #[default]
    Bare,
    /// With a Java runtime, for hosts that are to run brokers.
    Java,
}

/// The root directory of the base; builds it where it is missing.
pub(super) fn find_or_build(
    directory: &Path,
    flavour: Flavour,
    release: Option<Release>,
) -> Result<PathBuf, Failure> {
    let mut packages = PACKAGES.to_vec();
    if flavour == Flavour::Java {
        packages.push(JAVA);
    }
    let packages = packages.join(",");
    // The machine's own release has one base, named or not.
    let release = match release {
        Some(release) if archive()?.suite != release.suite() => Some(release),
        _ => None,
    };
    let suite = release.map(|release| format!("-{}", release.suite())).unwrap_or_default();
    let digest = crate::digest::sha256(packages.as_bytes());
    let root = directory.join(format!("base{suite}-{}", &digest[..10]));
    // Two labs may come up at the same moment: one builds, the other waits for it.
    let lock = open_lock(&directory.join("base.lock"))?;
    lock.lock().map_err(|error| Failure::failed(format!("cannot lock the base: {error}")))?;
    if !root.is_dir() {
        build(&root, &packages, release)?;
    }
    Ok(root)
}

fn build(root: &Path, packages: &str, release: Option<Release>) -> Result<(), Failure> {
    let own = archive()?;
    let suite = release.map_or(own.suite, |release| release.suite().to_owned());
    let archive = Archive { suite, ..own };
    let started = std::time::Instant::now();
    report::talk(&format!(
        "lab: building the base system ({}), once; this takes about a minute",
        archive.suite
    ));
    let part = root.with_extension("part");
    let log = root.with_extension("log");
    clear(&part)?;
    let mut debootstrap = tool("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), &archive.suite]);
    debootstrap.arg(&part).arg(&archive.uri);
    if let Some(proxy) = &archive.proxy {
        debootstrap.env("http_proxy", proxy);
    }
    let talk = debootstrap
        .output()
        .map_err(|error| Failure::failed(format!("cannot run debootstrap: {error}")))?;
    let text =
        String::from_utf8_lossy(&talk.stdout).into_owned() + &String::from_utf8_lossy(&talk.stderr);
    let _ = fs::write(&log, &text);
    if !talk.status.success() {
        return Err(Failure::failed(format!(
            "debootstrap of {} from `{}` failed: {}",
            archive.suite,
            archive.uri,
            tool::last_lines(&text, 3)
        ))
        .hint(format!("its whole output is in `{}`", log.display())));
    }
    for rest in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        clear(&part.join(rest))?;
    }
    fs::rename(&part, root)
        .map_err(|error| Failure::failed(format!("cannot name the base: {error}")))?;
    report::talk(&format!("lab: base system built in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// A package archive as apt knows it.
struct Archive {
    uri: String,
    suite: String,
    proxy: Option<String>,
}

/// The archive that this machine itself installs from.
fn archive() -> Result<Archive, Failure> {
    let mut found = configured_archive();
    if found.is_none() {
        run("apt-get", ["update", "-qq"])?;
        found = configured_archive();
    }
    let (uri, suite) = found.ok_or_else(|| {
        Failure::failed("apt on this machine knows no archive of Debian or Ubuntu")
            .hint("add one to /etc/apt/sources.list.d and run `apt-get update`")
    })?;
    let proxy = run("apt-config", ["dump", "--format", "%v%n", "Acquire::http::Proxy"])
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .filter(|proxy| !proxy.is_empty());
    Ok(Archive { uri, suite, proxy })
}

fn configured_archive() -> Option<(String, String)> {
    ["Debian", "Ubuntu"].iter().find_map(|origin| {
        let listed = run(
            "apt-get",
            [
                "indextargets",
                "--format",
                "$(REPO_URI) $(CODENAME)",
                "Created-By: Packages",
                &format!("Origin: {origin}"),
            ],
        )
        .ok()?;
        // Pockets such as `bookworm-security` are no complete system.
        listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, suite)| !suite.is_empty() && !suite.contains('-'))
            .map(|(uri, suite)| (uri.to_owned(), suite.to_owned()))
    })
}

/// Deletes a folder with all in it, never leaving its file system.
pub(super) fn clear(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    run("rm", [Path::new("-rf"), Path::new("--one-file-system"), folder]).map(drop)
}

pub(super) fn open_lock(path: &Path) -> Result<File, Failure> {
    File::create(path)
        .map_err(|error| Failure::failed(format!("cannot create `{}`: {error}", path.display())))
}
