//! The coordinator's binary for each architecture a host may have: found where a package or an
//! earlier build has put it, else built here. Static, so that it runs on whatever the host is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;
use std::{env, fs};

use crate::failure::Failure;
use crate::report;

/// The architectures that hosts are provisioned for, as `uname -m` names them.
pub const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The target triple of static binaries for an architecture, by what `uname -m` says on the host.
pub fn triple(architecture: &str) -> Result<&'static str, Failure> {
    match architecture {
        "x86_64" | "amd64" => Ok("x86_64-unknown-linux-musl"),
        "aarch64" | "arm64" => Ok("aarch64-unknown-linux-musl"),
        other => {
            Err(Failure::failed(format!("there is no coordinator for hosts of kind `{other}`"))
                .hint(format!("known are {}", ARCHITECTURES.join(" and "))))
        }
    }
}

/// What may be done to have a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builds {
    /// A checkout whose binary is missing, or older than its sources, builds it.
    WhenStale,
    /// What is there is taken, however old: whoever only looks does not wait for a compiler.
    Never,
}

/// The coordinator for hosts of this architecture. Looked for as an explicit path first, then
/// beside zkprov itself, then in `$ZKPROV_COORDINATOR_DIR`; a source checkout builds it.
pub fn coordinator_for(
    architecture: &str,
    explicit: Option<&Path>,
    builds: Builds,
) -> Result<PathBuf, Failure> {
    let triple = triple(architecture)?;
    if let Some(path) = explicit {
        return found(path).ok_or_else(|| {
            Failure::usage(format!("`{}` is no file", path.display()))
                .hint("the inventory names it as the coordinator's binary")
        });
    }
    let name = format!("coordinator-{triple}");
    let folders = [beside_zkprov(), env::var_os("ZKPROV_COORDINATOR_DIR").map(PathBuf::from)];
    if let Some(path) = folders.iter().flatten().find_map(|folder| found(&folder.join(&name))) {
        return Ok(path);
    }
    let none = || {
        Failure::failed(format!("there is no coordinator for hosts of kind `{architecture}`")).hint(
            format!(
                "put `{name}` beside the zkprov program or into $ZKPROV_COORDINATOR_DIR; \
                 in a checkout of the sources `zkprov build` makes it"
            ),
        )
    };
    let workspace = workspace().ok_or_else(none)?;
    let built = binary_path(&workspace, triple);
    match builds {
        Builds::Never => found(&built).ok_or_else(none),
        // cargo would find out as well, but takes longer than a whole probe of the hosts.
        Builds::WhenStale if is_current(&workspace, &built) => Ok(built),
        Builds::WhenStale => build(&workspace, triple),
    }
}

/// Where cargo puts the binary.
fn binary_path(workspace: &Path, triple: &str) -> PathBuf {
    let profile = profile();
    let folder = if profile == "dev" { "debug" } else { profile.as_str() };
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.join(target).join(triple).join(folder).join("coordinator")
}

/// Release code is what hosts get; whoever has built zkprov itself without the minutes of link-time
/// optimisation does not want to wait for them here either.
fn profile() -> String {
    let own = beside_zkprov();
    let own = own.as_deref().and_then(Path::file_name);
    let quick = own.is_some_and(|folder| folder == "fast" || folder == "debug" || folder == "deps");
    env::var("ZKPROV_BUILD_PROFILE")
        .unwrap_or_else(|_| String::from(if quick { "fast" } else { "release" }))
}

/// Whether the binary is younger than everything it is built from.
fn is_current(workspace: &Path, binary: &Path) -> bool {
    let Some(built) = modified(binary) else { return false };
    let sources = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "coordinator/Cargo.toml"];
    sources.iter().all(|source| modified(&workspace.join(source)).is_some_and(|at| at <= built))
        && newest(&workspace.join("coordinator/src")).is_some_and(|at| at <= built)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// When anything in a folder last changed, the folder's own list of files included.
fn newest(folder: &Path) -> Option<SystemTime> {
    let mut newest = modified(folder)?;
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        newest = newest.max(if path.is_dir() { self::newest(&path)? } else { modified(&path)? });
    }
    Some(newest)
}

/// Builds the coordinator for a target from the sources, in the profile that
/// `$ZKPROV_BUILD_PROFILE` names (`release` when it names none); the path of the binary.
pub fn build(workspace: &Path, triple: &str) -> Result<PathBuf, Failure> {
    let profile = profile();
    add_target(workspace, triple)?;
    report::talk(&format!(
        "build: the coordinator for {triple}, profile {profile}: a few minutes at first"
    ));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).stdin(Stdio::null()).stdout(Stdio::null());
    cargo.args(["build", "--locked", "--package", "coordinator", "--bin", "coordinator"]);
    cargo.args(["--profile", &profile, "--target", triple]);
    let status = cargo.status().map_err(|error| {
        Failure::failed(format!("cannot run cargo: {error}"))
            .hint("install Rust, or use a packaged zkprov, which brings the coordinator along")
    })?;
    if !status.success() {
        return Err(Failure::failed(format!("the coordinator does not build for {triple}"))
            .hint("what cargo said stands above"));
    }
    let path = binary_path(workspace, triple);
    let path = found(&path)
        .ok_or_else(|| Failure::failed(format!("cargo has built no `{}`", path.display())))?;
    // Where only a file's time had changed cargo builds nothing, and would be asked again each time.
    if let Ok(file) = fs::File::open(&path) {
        let _ = file.set_modified(SystemTime::now());
    }
    Ok(path)
}

/// The sources this very program was built from, if they are still there.
pub fn workspace() -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    workspace.join("coordinator/Cargo.toml").is_file().then_some(workspace)
}

/// The standard library for the target; linker and libc come with it.
fn add_target(workspace: &Path, triple: &str) -> Result<(), Failure> {
    let rustup = |words: &[&str]| {
        Command::new("rustup").args(words).current_dir(workspace).stdin(Stdio::null()).output()
    };
    let Ok(listed) = rustup(&["target", "list", "--installed"]) else {
        return Ok(()); // a toolchain without rustup: cargo itself says what is missing
    };
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == triple) {
        return Ok(());
    }
    report::talk(&format!("build: adding the target {triple}"));
    let added = rustup(&["target", "add", triple])
        .map_err(|error| Failure::failed(format!("cannot run rustup: {error}")))?;
    if added.status.success() {
        return Ok(());
    }
    let talk = String::from_utf8_lossy(&added.stderr);
    Err(Failure::failed(format!(
        "rustup cannot add the target {triple}: {}",
        talk.lines().find(|line| line.starts_with("error")).unwrap_or("it does not say why")
    ))
    .hint(format!(
        "the coordinator's own: {}",
        ARCHITECTURES.map(|kind| format!("{kind}-unknown-linux-musl")).join(", ")
    )))
}

fn beside_zkprov() -> Option<PathBuf> {
    env::current_exe().ok()?.parent().map(Path::to_owned)
}

fn found(path: &Path) -> Option<PathBuf> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    fs::canonicalize(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_known_by_their_names_on_the_hosts() {
        assert_eq!(triple("aarch64").unwrap(), triple("arm64").unwrap());
        assert_eq!(triple("x86_64").unwrap(), "x86_64-unknown-linux-musl");
        let refused = triple("riscv64").unwrap_err();
        assert!(refused.cause.contains("riscv64"), "{refused}");
    }

    #[test]
    fn an_explicit_path_that_is_no_file_is_refused_by_name() {
        let refused =
            coordinator_for("x86_64", Some(Path::new("/nowhere/coordinator")), Builds::Never)
                .unwrap_err();
        assert!(refused.cause.contains("/nowhere/coordinator"), "{refused}");
    }
}
