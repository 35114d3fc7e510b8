//! Rules across the values of an inventory: what is right by itself and wrong together.

use std::collections::HashMap;
use std::hash::Hash;

use crate::inventory::address::Address;
use crate::inventory::broker;
use crate::inventory::draft::{Draft, HostDraft};
use crate::inventory::finding::{Finding, Place};
use crate::inventory::model::{Engine, Role};
use crate::inventory::release;
use crate::inventory::{scalar, security};

/// Checks a draft against all rules; warnings are findings too.
pub fn check(draft: &Draft, findings: &mut Vec<Finding>) {
    unique(draft, findings);
    addresses(draft, findings);
    quorum(draft, findings);
    for host in &draft.hosts {
        number(host, findings);
        folders(host, findings);
        ports(host, findings);
    }
    release(draft, findings);
    engine(draft, findings);
    broker::check(draft, findings);
    security::check(draft, findings);
}

/// Reports every value that several hosts have, pointing at the first.
fn twice<'d, K: Eq + Hash>(
    draft: &'d Draft,
    key: impl Fn(&'d HostDraft) -> Option<(K, Place)>,
    mut report: impl FnMut(&'d HostDraft, Place, &'d HostDraft, Place),
) {
    let mut first: HashMap<K, (&HostDraft, Place)> = HashMap::new();
    for host in &draft.hosts {
        let Some((key, place)) = key(host) else { continue };
        match first.get(&key) {
            Some((other, other_place)) => report(host, place, other, *other_place),
            None => {
                first.insert(key, (host, place));
            }
        }
    }
}

fn unique(draft: &Draft, findings: &mut Vec<Finding>) {
    twice(
        draft,
        |host| host.myid.as_ref().map(|myid| (myid.value, myid.place)),
        |host, place, other, other_place| {
            let myid = host.myid.as_ref().map_or(0, |myid| myid.value);
            findings.push(
                Finding::error(place, format!("`myid` {myid} is used twice"))
                    .also(other_place, format!("also the myid of `{}`", other.name.value))
                    .hint("every member has a number of its own; a running member's number never changes"),
            );
        },
    );
    twice(
        draft,
        |host| Some((host.name.value.to_lowercase(), host.name.place)),
        |host, place, other, other_place| {
            findings.push(
                Finding::error(place, format!("the host name `{}` is used twice", host.name.value))
                    .also(other_place, format!("also here, as `{}`", other.name.value)),
            );
        },
    );
    twice(
        draft,
        |host| {
            host.meaning
                .as_ref()
                .zip(host.address.as_ref())
                .map(|(meaning, at)| (meaning, at.place))
        },
        |host, place, other, other_place| {
            same_address(host, place, other, other_place, findings);
        },
    );
    twice(
        draft,
        |host| Some((way_in(host)?, host.ssh_place)),
        |host, place, other, other_place| {
            let same = host.meaning.is_some() && host.meaning == other.meaning;
            if !same {
                findings.push(
                    Finding::error(
                        place,
                        format!("`{}` is reached by the same way in as `{}`", host.name.value, other.name.value),
                    )
                    .also(other_place, "also here")
                    .hint("two members cannot live on one host; behind a NAT each has a port of its own"),
                );
            }
        },
    );
}

/// Where ssh connects to, by meaning; `None` if that is a wrong address.
fn way_in(host: &HostDraft) -> Option<(Address, Option<u16>)> {
    let name = &host.ssh.host;
    let by_address = host.address.as_ref().is_none_or(|address| address.value == *name);
    let way_in = match Address::parse(name) {
        Ok(address) => address,
        Err(_) if by_address => return None,
        Err(_) => Address::Name(name.to_lowercase()),
    };
    Some((way_in, host.ssh.port))
}

fn same_address(
    host: &HostDraft,
    place: Place,
    other: &HostDraft,
    other_place: Place,
    findings: &mut Vec<Finding>,
) {
    let address = host.address.as_ref().map_or("", |address| &address.value);
    let same_way_in = way_in(host) == way_in(other);
    let (left, right) = (host.ports, other.ports);
    let clash = [
        ("client_port", left.client, right.client),
        ("quorum_port", left.quorum, right.quorum),
        ("election_port", left.election, right.election),
    ]
    .into_iter()
    .find(|(_, left, right)| left == right);
    let finding = match clash {
        Some((port, number, _)) => {
            Finding::error(place, format!("address `{address}` with {port} {number} is used twice"))
                .hint("members and clients could not tell the two apart")
        }
        None if same_way_in => Finding::error(
            place,
            format!("address `{address}` is used twice, and so is the way in"),
        )
        .hint("two members on one host would share its service and its data directory"),
        None => Finding::warning(
            place,
            format!("address `{address}` is used twice, with different ports"),
        )
        .hint("right only if these are two hosts behind one address"),
    };
    findings.push(finding.also(other_place, format!("also the address of `{}`", other.name.value)));
}

/// An address must mean the host on every other host too.
fn addresses(draft: &Draft, findings: &mut Vec<Finding>) {
    let several = draft.hosts.len() > 1;
    for host in &draft.hosts {
        let (Some(meaning), Some(address)) = (&host.meaning, &host.address) else { continue };
        let shown = &address.value;
        let way_in = "the way in stands under `ssh: { host: …, port: … }`; `address` is how the other members reach the \
                      host, such as its private network address";
        if meaning.is_wildcard() {
            findings.push(
                Finding::error(
                    address.place,
                    format!("`{shown}` is every address, not this host's"),
                )
                .hint(way_in),
            );
        } else if meaning.is_loopback() && several {
            findings.push(
                Finding::error(
                    address.place,
                    format!(
                        "`{shown}` is a loopback address: on every host it means that host itself"
                    ),
                )
                .hint(way_in),
            );
        } else if meaning.is_for_many() {
            findings.push(Finding::error(
                address.place,
                format!("`{shown}` is a multicast or broadcast address: nothing can listen there"),
            ));
        } else if meaning.is_link_local() {
            findings.push(
                Finding::warning(address.place, format!("`{shown}` is a link-local address"))
                    .hint("other members reach it only on the same wire; take a routed address"),
            );
        } else if meaning.is_virtualbox_nat() {
            findings.push(
                Finding::warning(
                    address.place,
                    format!(
                        "`{shown}` is the address every VirtualBox guest has on its NAT interface"
                    ),
                )
                .hint("take the address of the guest's private network"),
            );
        }
    }
}

fn quorum(draft: &Draft, findings: &mut Vec<Finding>) {
    let voters = draft.hosts.iter().filter(|host| host.role == Role::Participant).count();
    let place = draft.hosts_place;
    match voters {
        0 if draft.hosts.is_empty() => {}
        0 => findings.push(
            Finding::error(
                place,
                if draft.hosts.iter().any(|host| host.role == Role::Broker) {
                    "no host is a participant: nobody votes"
                } else {
                    "all hosts are observers: nobody votes"
                },
            )
            .hint("an ensemble needs one, three or five participants"),
        ),
        1 => findings.push(
            Finding::warning(place, "one participant: when it is down, the ensemble is down")
                .hint("three participants survive the loss of one"),
        ),
        2 => findings.push(
            Finding::warning(place, "two voters tolerate no failure; use three")
                .hint("three participants survive the loss of one"),
        ),
        even if even % 2 == 0 => findings.push(
            Finding::warning(
                place,
                format!(
                    "{even} participants survive the loss of {}, as {} do",
                    even / 2 - 1,
                    even - 1
                ),
            )
            .hint("make the last one an observer (`role: observer`), or add one"),
        ),
        many if many > 9 => findings.push(
            Finding::warning(
                place,
                format!("{many} participants: every write waits for {} of them", many / 2 + 1),
            )
            .hint("five or seven vote, further hosts are better observers (`role: observer`)"),
        ),
        _ => {}
    }
}

/// A member has a number; a host that is none must not look like one.
fn number(host: &HostDraft, findings: &mut Vec<Finding>) {
    let name = &host.name.value;
    match (host.role, host.myid_written) {
        (Role::Participant | Role::Observer, false) => findings.push(
            Finding::error(host.name.place, format!("`{name}` has no `myid`")).hint(
                "the member's number, unique in the ensemble; a host for a broker alone says `role: broker`",
            ),
        ),
        (Role::Broker, true) => findings.push(
            Finding::error(
                host.myid.as_ref().map_or(host.name.place, |myid| myid.place),
                format!("`{name}` has a `myid`, and is no member"),
            )
            .hint("take `myid` away; the broker's own number stands under `brokers:`"),
        ),
        _ => {}
    }
}

fn folders(host: &HostDraft, findings: &mut Vec<Finding>) {
    for folder in [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten() {
        if let Err(wrong) = scalar::own_folder(&folder.value) {
            let finding =
                Finding { hint: wrong.hint, ..Finding::error(folder.place, wrong.message) };
            // The ensemble's value is every host's: say it once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
}

fn ports(host: &HostDraft, findings: &mut Vec<Finding>) {
    let ports = [
        ("client_port", host.ports.client),
        ("quorum_port", host.ports.quorum),
        ("election_port", host.ports.election),
    ];
    for (later, earlier) in [(1, 0), (2, 0), (2, 1)] {
        let ((name, port), (other, other_port)) = (ports[later], ports[earlier]);
        if port == other_port {
            // Of the two, the one a person wrote is pointed at.
            let written = |index: usize| host.port_places[index] != host.name.place;
            let index = if written(later) { later } else { earlier };
            let finding = Finding::error(
                host.port_places[index],
                format!("`{name}` and `{other}` are both {port}"),
            );
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
}

fn release(draft: &Draft, findings: &mut Vec<Finding>) {
    let kafka = &draft.kafka;
    if kafka.install
        && kafka.sha512.is_none()
        && release::known(&kafka.version, &kafka.scala).is_none()
    {
        findings.push(
            Finding::error(
                draft.kafka_version.place,
                format!("the digest of {} is not known to zkprov", kafka.distribution()),
            )
            .hint(format!(
                "add `sha512:` with the tarball's digest, or the path or URL of its checksum file; known: {}",
                release::known_names()
            )),
        );
    }
}

fn engine(draft: &Draft, findings: &mut Vec<Finding>) {
    if draft.engine.value == Engine::Coordinator {
        for (key, place) in &draft.java_keys {
            findings.push(
                Finding::warning(
                    *place,
                    format!("`{key}` means nothing without `engine: zookeeper`"),
                )
                .hint("the coordinator zkprov ships needs no Java"),
            );
        }
        return;
    }
    if let Some(place) = draft.account {
        findings.push(
            Finding::warning(place, "`account` means nothing with `engine: zookeeper`")
                .hint("Apache ZooKeeper runs from Kafka's release, as `kafka`"),
        );
    }
    // One that was found has come from elsewhere.
    if draft.coordinator.apache.is_some() {
        return;
    }
    if !draft.kafka_install.value {
        findings.push(
            Finding::error(
                draft.kafka_install.place,
                "`engine: zookeeper` runs from Kafka's tarball",
            )
            .also(draft.engine.place, "asked for here")
            .hint("take `install: false` away, or use `engine: coordinator`"),
        );
    }
    let major = draft.kafka.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 4) {
        findings.push(
            Finding::error(
                draft.engine.place,
                format!("Kafka {} no longer carries ZooKeeper", draft.kafka.version),
            )
            .also(draft.kafka_version.place, "the release")
            .hint("use a 3.x release, or `engine: coordinator`"),
        );
    }
}
