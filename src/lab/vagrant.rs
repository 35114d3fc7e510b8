//! The lab's base as a box for Vagrant's lxc provider: real machines of Vagrant's on a computer
//! that cannot, or need not, run virtual ones.

use std::fs;
use std::path::Path;

use super::base::Flavour;
use super::record::home;
use super::seed::{self, folder, link, write};
use super::tool::{run, tool};
use super::{base, mount, needs};
use crate::failure::Failure;

/// The public half of the key that every fresh Vagrant box lets in. Vagrant ships the other half:
/// these are machines to throw away.
const INSECURE_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key\n";

const METADATA: &str = "{ \"provider\": \"lxc\", \"version\": \"1.0.0\" }\n";

/// No capability is dropped but loading modules: systemd, and a service's sandbox, want the rest.
const LXC_CONFIG: &str = "lxc.include = /usr/share/lxc/config/common.conf\nlxc.arch = linux64\n\
                          lxc.apparmor.profile = unconfined\nlxc.cap.drop =\n\
                          lxc.cap.drop = sys_module\n";

/// Each machine makes host keys of its own when it first boots.
const HOST_KEYS: &str = "[Unit]\nDescription=Host keys\nBefore=ssh.service\n\n[Service]\n\
                         Type=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n";

/// Writes the box to `path`.
pub fn write_box(path: &Path) -> Result<(), Failure> {
    let home = home();
    needs::check(&home)?;
    let base = base::find_or_build(&home, Flavour::Bare, None)?;
    let work = home.join(format!("box-{}", std::process::id()));
    let made = make(&base, &work, path);
    mount::unmount(&work.join("rootfs"));
    base::clear(&work)?;
    made
}

fn make(base: &Path, work: &Path, path: &Path) -> Result<(), Failure> {
    let root = work.join("rootfs");
    mount::overlay(&[base], work, &root)?;
    seed::fill(&root, INSECURE_KEY)?;
    for strange in ["root/.ssh", "home/ops/.ssh"] {
        base::clear(&root.join(strange))?;
    }
    write(&root.join("etc/machine-id"), "", 0o444)?;
    write(&root.join("etc/resolv.conf"), "", 0o644)?;
    write(&root.join("etc/fstab"), "", 0o644)?;
    let units = root.join("etc/systemd/system");
    write(&units.join("host-keys.service"), HOST_KEYS, 0o644)?;
    folder(&units.join("ssh.service.wants"))?;
    link(
        "/etc/systemd/system/host-keys.service",
        &units.join("ssh.service.wants/host-keys.service"),
    )?;

    // The provider strips two leading parts of each name when it unpacks: `./rootfs/…` they are.
    run(
        "tar",
        [
            "--numeric-owner".as_ref(),
            "-C".as_ref(),
            work.as_os_str(),
            "-czf".as_ref(),
            work.join("rootfs.tar.gz").as_os_str(),
            "./rootfs".as_ref(),
        ],
    )?;
    write(&work.join("metadata.json"), METADATA, 0o644)?;
    write(&work.join("lxc-config"), LXC_CONFIG, 0o644)?;
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let part = path.with_extension("part");
    let mut tar = tool("tar");
    tar.arg("-C").arg(work).arg("-cf").arg(&part);
    tar.args(["metadata.json", "rootfs.tar.gz", "lxc-config"]);
    super::tool::output(&mut tar)?;
    fs::rename(&part, path)
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", path.display())))
}
