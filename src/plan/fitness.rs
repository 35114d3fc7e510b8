//! Whether a host is fit for what the inventory wants of it: its system, its room, its Java.

use crate::inventory::{Engine, Host, Inventory};
use crate::plan::model::Refusal;
use crate::probe::Observed;

/// Room for a log and a snapshot of a small tree; a real one needs more, and says so itself.
const DATA_KB_LEAST: u64 = 16_000;

/// The oldest systemd that knows what the units ask of it.
const SYSTEMD_LEAST: u32 = 235;

/// The oldest Java that Kafka's brokers run on without being told that its days are counted.
const JAVA_LEAST: u32 = 11;

/// A server on a full disk would stop at its first write.
pub(super) fn room(host: &Host, observed: &Observed) -> Option<Refusal> {
    let free_kb = observed.space_kb(&host.data_dir).filter(|_| host.is_member())?;
    (free_kb < DATA_KB_LEAST).then(|| Refusal {
        resource: format!("directory {}", host.data_dir),
        cause: format!(
            "{} has {} MB free, a coordinator needs at least {}",
            host.data_dir,
            free_kb / 1000,
            DATA_KB_LEAST / 1000
        ),
        hint: "make room, or set coordinator.data_dir".into(),
    })
}

/// Whether zkprov can work on this host at all.
pub(super) fn fitness(inventory: &Inventory, host: &Host, observed: &Observed) -> Vec<Refusal> {
    let refuse = |cause: String, hint: &str| {
        vec![Refusal { resource: "host".into(), cause, hint: hint.into() }]
    };
    let kernel = observed.text("kernel");
    if !kernel.starts_with("Linux ") {
        return refuse(
            format!("it runs {}, not Linux", kernel.trim()),
            "the coordinator is run by systemd on Linux",
        );
    }
    if observed.text("systemd").trim() != "yes" {
        return refuse(
            format!("{} was not booted with systemd", observed.distribution()),
            "zkprov needs systemd to run the service; no other init is supported",
        );
    }
    if let Some(version) = too_old(observed) {
        return refuse(
            format!(
                "{} has systemd {version}, and {SYSTEMD_LEAST} is needed",
                observed.distribution()
            ),
            "the service's protection is not known to it; use a release that its distributor still maintains",
        );
    }
    if observed.text("uid").trim() != "0" {
        return refuse(
            format!("the login has uid {}, not root", observed.text("uid").trim()),
            "log in as root, or set `become: sudo` in the inventory",
        );
    }
    let missing = observed.text("missing");
    if !missing.trim().is_empty() {
        return refuse(
            format!("commands are missing: {}", missing.trim()),
            "install them; every ordinary Debian, Ubuntu or RHEL has them",
        );
    }
    let readonly = observed.text("readonly");
    let readonly: Vec<&str> = readonly.lines().filter(|line| !line.is_empty()).collect();
    if !readonly.is_empty() {
        return refuse(
            format!("root cannot write to {}: a read-only file system", readonly.join(", ")),
            "`mount -o remount,rw …` if that is right here; a disk with errors is remounted read-only \
             by the kernel, and `dmesg` tells",
        );
    }
    if let Some((cause, hint)) = java_missing(inventory, host, observed) {
        return refuse(cause, hint);
    }
    Vec::new()
}

/// The systemd of a distribution that is known to be too old, by its `os-release`: asking systemd itself
/// costs every probe a process.
fn too_old(observed: &Observed) -> Option<u32> {
    let id = observed.os_release("ID")?;
    let version = observed.os_release("VERSION_ID").unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next().flatten().unwrap_or(0));
    let (before, systemd) = match id.as_str() {
        "rhel" | "centos" | "ol" | "scientific" => ((8, 0), 219),
        // Its first releases were numbered by year.
        "amzn" if major < 2000 => ((3, 0), 219),
        "ubuntu" => ((18, 0), 229),
        "debian" => ((10, 0), 232),
        "sles" | "opensuse-leap" => ((15, 1), 234),
        _ => return None,
    };
    ((major, minor) < before && systemd < SYSTEMD_LEAST).then_some(systemd)
}

/// What on this host needs Java, as a person would say it.
fn needs_java(inventory: &Inventory, host: &Host) -> Option<&'static str> {
    if inventory.broker_on(host).is_some() {
        return Some("a broker");
    }
    // One that was found has the Java that it runs on.
    let apache = inventory.coordinator.engine == Engine::Zookeeper
        && inventory.adopted().is_none()
        && host.is_member();
    apache.then_some("`engine: zookeeper`")
}

/// Java is looked for, never installed: that is the operator's to decide.
fn java_missing(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
) -> Option<(String, &'static str)> {
    let who = needs_java(inventory, host)?;
    let (java, version) = (observed.text("java"), observed.text("java_version"));
    let (java, version) = (java.trim(), version.trim());
    if java.is_empty() {
        return Some((
            format!("there is no Java, which {who} needs"),
            "install a JRE, 11 or later (Debian: openjdk-17-jre-headless), or set `java_home` to where one is",
        ));
    }
    // `17.0.15`, and `1.8.0_402` of the old way.
    let mut numbers = version.split(['.', '_', '-', '+']).map(|part| part.parse::<u32>().ok());
    let major = match numbers.next().flatten() {
        Some(1) => numbers.next().flatten(),
        major => major,
    };
    match major {
        Some(major) if major >= JAVA_LEAST => None,
        Some(_) => Some((
            format!(
                "Java {version} ({java}) is too old for {who}, which needs {JAVA_LEAST} or later"
            ),
            "install a newer JRE, or set `java_home` to where one is",
        )),
        None => Some((
            format!("{java} does not say which Java it is (`{version}`)"),
            "does `java -version` work there? Set `java_home` to where a JRE is, 11 or later",
        )),
    }
}

/// Which Java was found is a fact people want to see before anything runs on it.
pub(super) fn java_note(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
) -> Option<(String, String)> {
    needs_java(inventory, host)?;
    let (java, version) = (observed.text("java"), observed.text("java_version"));
    Some(("java".into(), format!("{} at {}", version.trim(), java.trim())))
}

/// An address that is not the host's own is right behind NAT and wrong nearly everywhere else.
pub(super) fn address_note(host: &Host, observed: &Observed) -> Option<(String, String)> {
    let address: std::net::IpAddr = host.address.parse().ok()?;
    let own = observed.addresses();
    let known = own.iter().filter_map(|own| own.parse::<std::net::IpAddr>().ok());
    if own.is_empty() || address.is_loopback() || known.into_iter().any(|own| own == address) {
        return None;
    }
    let note = format!("{address} is not an address of this host, which has {}", own.join(", "));
    Some(("address".into(), note))
}
