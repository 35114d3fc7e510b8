//! One host: a full Debian system, systemd as its first process, in systemd-nspawn.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cgroup::Cgroup;
use super::mount;
use super::record::{Condition, Host, Lab};
use super::seed::write;
use super::tool::{output, run, succeeds, tool};
use crate::failure::Failure;

/// How long a host may take from power on until its sshd answers.
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// systemd-nspawn ends with 133 when its host reboots: the keeper then starts it again. The keeper
/// enters the host's control groups itself, so that it is gone with the host when those are killed.
const KEEPER: &str = r#"
pidfile=$1; shift
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift
echo $$ >"$pidfile"
while "$@"; [ $? = 133 ]; do :; done
"#;

/// Real fstabs differ: tabs, blanks, UUIDs, lines that are comments already, a path that only looks
/// like swap, no newline at the end. Host N gets the one at N modulo 4.
const FSTAB: [&str; 4] = [
    "/dev/mapper/vg-root /               ext4    noauto 0       1\n\
     /dev/mapper/vg-swap\tswap swap\tdefaults,pri=5 0 0\n  # /dev/sdc1 none swap sw 0 0",
    "/dev/sda1\t/\text4\terrors=remount-ro,noauto\t0\t1\n/swapfile\tnone\tswap\tsw\t0\t0\n",
    "UUID=5a1c6f0e-7d34-4a53-9c0e-3f2b1f6a7b11 /               ext4    errors=remount-ro,noauto 0       1\n\
     # swap was on /dev/sda5 during installation\n\
     UUID=0b6d3e4a-96f4-4a43-8f3d-0a3c5b1f9d22 none            swap    sw              0       0\n",
    "/dev/sda1 / ext4 errors=remount-ro,noauto 0 1\n#/swapfile none swap sw 0 0\n\
     /dev/sdb1 /mnt/swapdata ext4 noauto,nofail 0 2\n",
];

const FSTAB_HEAD: &str = "# /etc/fstab: static file system information.\n#\n\
                          # <file system> <mount point>   <type>  <options>       <dump>  <pass>\n";

impl Lab {
    pub(super) fn host_directory(&self, name: &str) -> PathBuf {
        self.directory().join("h").join(name)
    }

    /// The root directory of a host, as seen from this machine. Mounted from boot to shutdown.
    pub fn disk(&self, host: &Host) -> PathBuf {
        self.host_directory(&host.name).join("root")
    }

    /// What a host has written since it was fresh: the upper layer of its disk.
    pub fn written(&self, host: &Host) -> PathBuf {
        self.host_directory(&host.name).join("up")
    }

    pub(super) fn cgroup(&self, host: &Host) -> Result<Cgroup, Failure> {
        Cgroup::new(self.home(), &format!("{}/{}", self.name(), host.name))
    }

    /// Lays a fresh disk for the host. The old one is deleted behind the caller's back: hundreds of
    /// megabytes are no part of making a host.
    pub(super) fn prepare(&self, host: &Host) -> Result<(), Failure> {
        let directory = self.host_directory(&host.name);
        discard(&directory)?;
        self.mount_disk(host)?;
        let root = self.disk(host);
        let etc = root.join("etc");
        write(&etc.join("hostname"), &format!("{}\n", host.name), 0o644)?;
        let machine = crate::digest::sha256(format!("{}-{}", self.name(), host.name).as_bytes());
        write(&etc.join("machine-id"), &format!("{}\n", &machine[..32]), 0o444)?;
        copy(&self.directory().join("hosts"), &etc.join("hosts"), 0o644)?;
        let fstab = FSTAB[usize::from(host.number) % FSTAB.len()];
        write(&etc.join("fstab"), &format!("{FSTAB_HEAD}{fstab}"), 0o644)?;
        write(&etc.join("resolv.conf"), "", 0o644)?;
        let key = "ssh/ssh_host_ed25519_key";
        copy(&directory.join("hostkey"), &etc.join(key), 0o600)?;
        copy(&directory.join("hostkey.pub"), &etc.join(format!("{key}.pub")), 0o644)?;
        if self.options().no_python {
            for entry in fs::read_dir(root.join("usr/bin")).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with("python3") {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        Ok(())
    }

    fn mount_disk(&self, host: &Host) -> Result<(), Failure> {
        let root = self.disk(host);
        if mount::is_mounted(&root) {
            return Ok(());
        }
        let base = self.base(host);
        let seed = self.seed(base).join("up");
        mount::overlay(&[&seed, base], &self.host_directory(&host.name), &root)
    }

    /// Switches the host on; returns before it is up.
    pub(super) fn boot(&self, host: &Host) -> Result<(), Failure> {
        self.mount_disk(host)?;
        let directory = self.host_directory(&host.name);
        let groups = self.cgroup(host)?.create()?;
        let console = fs::File::create(directory.join("console"))
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| Failure::failed(format!("cannot write the console: {error}")))?;
        let machine = self.network.namespace(&host.name);
        let mut keeper = tool("setsid");
        keeper.args(["--fork", "sh", "-c", KEEPER, "keeper"]).arg(directory.join("pid"));
        keeper.args(groups).arg("--").args(["systemd-nspawn", "-q", "-D"]).arg(self.disk(host));
        keeper.args(["--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off"]);
        keeper.args(["--link-journal=no", "--console=passive", "-M", &machine]);
        keeper.arg(format!("--network-namespace-path=/run/netns/{machine}"));
        keeper.arg(format!("--hostname={}", host.name));
        // So that a host can turn its swap off and on, and bind its own kernel settings.
        keeper.args(["--system-call-filter=@swap", "--capability=all"]);
        if let Some(swap) = self.swap_file(host)? {
            keeper.arg(format!("--bind={}:/swapfile", swap.display()));
        }
        keeper.arg("-b");
        keeper.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        // A host may set its own network's settings; all others are the machine's, and read-only.
        keeper.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
        keeper.stdout(console.0).stderr(console.1);
        let started = keeper.status();
        if started.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(Failure::failed("cannot start systemd-nspawn").host(&host.name))
    }

    /// A real swap file for the first host, where the lab was asked for it: it is the machine's
    /// swap, so there is only one, and it lies beside the overlay, which could not carry it.
    fn swap_file(&self, host: &Host) -> Result<Option<PathBuf>, Failure> {
        if !self.options().swap || host.number != 1 {
            return Ok(None);
        }
        let file = self.host_directory(&host.name).join("swapfile");
        if !file.exists() {
            write(&file, "", 0o600)?;
            let target = format!("of={}", file.display());
            run("dd", ["if=/dev/zero", &target, "bs=1M", "count=16", "status=none"])?;
            run("mkswap", [Path::new("-q"), &file])?;
        }
        Ok(Some(file))
    }

    /// Waits until the host lets people in.
    pub(super) fn settle(&self, host: &Host) -> Result<(), Failure> {
        let address: SocketAddr = format!("{}:22", host.address).parse().map_err(|error| {
            Failure::failed(format!("`{}` is no address: {error}", host.address)).host(&host.name)
        })?;
        let started = Instant::now();
        while !(greets(address) && self.lets_in(host)) {
            if started.elapsed() > BOOT_LIMIT {
                let console = self.host_directory(&host.name).join("console");
                return Err(Failure::failed(format!(
                    "no login within {} s after power on",
                    BOOT_LIMIT.as_secs()
                ))
                .host(&host.name)
                .hint(format!("its console is in `{}`", console.display())));
            }
            thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// systemd keeps everybody but root out until the boot is through.
    fn lets_in(&self, host: &Host) -> bool {
        self.leader(host)
            .is_some_and(|leader| !Path::new(&format!("/proc/{leader}/root/run/nologin")).exists())
    }

    /// This machine's id of the host's first process: the child of the child of the keeper.
    pub fn leader(&self, host: &Host) -> Option<u32> {
        let keeper = fs::read_to_string(self.host_directory(&host.name).join("pid")).ok()?;
        child(child(keeper.trim().parse().ok()?)?)
    }

    pub fn condition(&self, host: &Host) -> Condition {
        match self.leader(host) {
            None => Condition::Stopped,
            Some(_) if self.cgroup(host).is_ok_and(|group| group.is_frozen()) => Condition::Frozen,
            Some(_) => Condition::Running,
        }
    }

    /// A power cut: every process of the host ends at once. Its disk stays as it is.
    pub(super) fn cut_power(&self, host: &Host) -> Result<(), Failure> {
        let directory = self.host_directory(&host.name);
        let swap = directory.join("swapfile");
        // The kernel keeps a swap file in use past the host's end: its file system would stay busy.
        if swap.exists() {
            succeeds("swapoff", [&swap]);
        }
        let group = self.cgroup(host)?;
        group.kill();
        let _ = fs::remove_file(directory.join("pid"));
        mount::unmount(&self.disk(host));
        group.remove();
        Ok(())
    }

    /// As [`Self::inside`], but with this process's own stdin.
    pub fn inside_on_terminal<S: AsRef<std::ffi::OsStr>>(
        &self,
        host: &Host,
        words: &[S],
    ) -> Result<Command, Failure> {
        let mut command = self.inside(host, words)?;
        command.stdin(Stdio::inherit());
        Ok(command)
    }

    /// The command that runs `words` inside the host, without ssh and without network.
    pub fn inside<S: AsRef<std::ffi::OsStr>>(
        &self,
        host: &Host,
        words: &[S],
    ) -> Result<Command, Failure> {
        let leader = self
            .leader(host)
            .ok_or_else(|| Failure::failed("the host is not running").host(&host.name))?;
        let mut command = tool("nsenter");
        command.args(["-t", &leader.to_string(), "-a", "-w", "--"]).args(words);
        Ok(command)
    }

    /// Runs a command inside the host; its stdout.
    pub fn exec(&self, host: &Host, words: &[&str]) -> Result<String, Failure> {
        output(&mut self.inside(host, words)?).map_err(|failure| failure.host(&host.name))
    }
}

/// Puts the host's old disk aside and lets it be deleted in the background.
fn discard(directory: &Path) -> Result<(), Failure> {
    let layers = ["up", "work"].map(|layer| directory.join(layer));
    if !layers.iter().any(|layer| layer.exists()) {
        return Ok(());
    }
    let trash = (0..u16::MAX)
        .map(|number| directory.join(format!("trash.{number}")))
        .find(|trash| fs::create_dir(trash).is_ok())
        .ok_or_else(|| {
            Failure::failed(format!("cannot put old disks aside in `{}`", directory.display()))
        })?;
    for layer in layers {
        if let Some(name) = layer.file_name().filter(|_| layer.exists()) {
            fs::rename(&layer, trash.join(name)).map_err(|error| {
                Failure::failed(format!("cannot move `{}`: {error}", layer.display()))
            })?;
        }
    }
    let _ = tool("setsid")
        .args(["--fork", "rm", "-rf", "--one-file-system"])
        .arg(&trash)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(())
}

fn child(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Whether an sshd says hello.
fn greets(address: SocketAddr) -> bool {
    let mut greeting = [0; 4];
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok_and(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && greeting == *b"SSH-"
    })
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
    let text = fs::read_to_string(from)
        .map_err(|error| Failure::failed(format!("cannot read `{}`: {error}", from.display())))?;
    write(to, &text, mode)
}
