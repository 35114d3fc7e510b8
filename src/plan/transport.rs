//! How a serving ensemble comes to TLS and back: one step a run, so that every server can talk to every other
//! and to every broker while they are rolled, and a stop at any moment is harmless.

use crate::inventory::{Host, Inventory, Transport};
use crate::layout::{BROKER_CONFIG_FILE, BROKER_KEY_STORE, CONFIG_FILE, KEY_STORE};
use crate::probe::Observed;

/// The steps of servers towards clients, which ask for nothing, and towards each other.
const CLIENTS: [Transport; 3] = [Transport::Off, Transport::Optional, Transport::Required];
const MEMBERS: [Transport; 4] =
    [Transport::Off, Transport::Accepted, Transport::Optional, Transport::Required];

/// What this run makes of the inventory's wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    pub clients: Transport,
    pub members: Transport,
}

impl Stage {
    /// The inventory as this run carries it out.
    pub fn apply(self, inventory: &mut Inventory) {
        inventory.security.clients = self.clients;
        inventory.security.members = self.members;
    }

    /// What is left for later runs; `None` when this is all.
    pub fn note(self, inventory: &Inventory) -> Option<String> {
        let wanted = &inventory.security;
        let left = |what, now: Transport, then: Transport| {
            (now != then).then(|| {
                format!(
                    "TLS {what} becomes {} by this run, on its way to {}",
                    now.word(),
                    then.word()
                )
            })
        };
        let left = [
            left("of clients", self.clients, wanted.clients),
            left("between members", self.members, wanted.members),
        ];
        let left: Vec<String> = left.into_iter().flatten().collect();
        (!left.is_empty()).then(|| format!("{}: apply again for the next step", left.join("; ")))
    }
}

/// The next step from what stands on the hosts; `observed` holds those that could be asked.
pub fn stage(inventory: &Inventory, observed: &[(&Host, &Observed)]) -> Stage {
    let text = |observed: &Observed, path| {
        observed.content(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let members: Vec<_> = observed.iter().filter(|(host, _)| host.is_member()).collect();
    let whole = members.len() == inventory.members().count();
    let configs: Vec<String> =
        members.iter().filter_map(|(_, observed)| text(observed, CONFIG_FILE)).collect();
    let there = |of: fn(&str) -> Transport| -> Vec<Transport> {
        configs.iter().map(|config| of(config)).collect()
    };
    let wanted = &inventory.security;
    let mut clients = step(&CLIENTS, wanted.clients, &there(clients_of), whole);
    let members = step(&MEMBERS, wanted.members, &there(members_of), whole);
    // Brokers are moved after the servers, in the same run: until then these take both.
    let brokers: Vec<Option<bool>> = inventory
        .brokers
        .iter()
        .map(|broker| {
            let (_, observed) = observed.iter().find(|(host, _)| host.name == broker.host)?;
            Some(match text(observed, BROKER_CONFIG_FILE) {
                Some(config) => {
                    setting(&config, "zookeeper.ssl.keystore.location") == Some(BROKER_KEY_STORE)
                }
                // It will be made as the inventory says.
                None => wanted.clients != Transport::Off,
            })
        })
        .collect();
    let rising = configs.iter().any(|config| clients_of(config) < clients);
    if clients == Transport::Required && rising && brokers.iter().any(|tls| *tls != Some(true)) {
        clients = Transport::Optional;
    }
    let falling = configs.iter().any(|config| clients_of(config) > clients);
    if clients == Transport::Off && falling && brokers.iter().any(|tls| *tls != Some(false)) {
        clients = Transport::Optional;
    }
    Stage { clients, members }
}

/// One step of the ladder. Where not all servers are known, nobody goes beyond those that are.
fn step(ladder: &[Transport], wanted: Transport, there: &[Transport], whole: bool) -> Transport {
    let height = |transport: &Transport| ladder.iter().position(|step| step == transport);
    let (Some(lowest), Some(highest), Some(goal)) = (
        there.iter().filter_map(height).min(),
        there.iter().filter_map(height).max(),
        height(&wanted),
    ) else {
        return wanted;
    };
    let stride = usize::from(whole);
    let next = if lowest < goal {
        (lowest + stride).min(goal)
    } else if highest > goal {
        (highest - stride).max(goal)
    } else {
        goal
    };
    ladder[next]
}

fn setting<'a>(config: &'a str, key: &str) -> Option<&'a str> {
    config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::trim))
}

/// TLS that the operator has set up by hand is no step of zkprov's.
fn clients_of(config: &str) -> Transport {
    if setting(config, "ssl.keyStore.location") != Some(KEY_STORE) {
        Transport::Off
    } else if setting(config, "client.portUnification") == Some("true") {
        Transport::Optional
    } else if setting(config, "secureClientPort").is_some()
        && setting(config, "clientPort").is_none()
    {
        Transport::Required
    } else {
        Transport::Off
    }
}

fn members_of(config: &str) -> Transport {
    if setting(config, "ssl.quorum.keyStore.location") != Some(KEY_STORE) {
        return Transport::Off;
    }
    let on = |key| setting(config, key) == Some("true");
    match (on("sslQuorum"), on("portUnification")) {
        (false, false) => Transport::Off,
        (false, true) => Transport::Accepted,
        (true, true) => Transport::Optional,
        (true, false) => Transport::Required,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::template;

    fn inventory(security: &str, brokers: bool) -> Inventory {
        let brokers = if brokers {
            "brokers: { a: { broker_id: 1, listeners: \"PLAINTEXT://10.0.0.1:9092\" } }\n"
        } else {
            ""
        };
        let yaml = format!(
            "ensemble: t\nhosts:\n  a: {{ address: 10.0.0.1, myid: 1 }}\n  b: {{ address: 10.0.0.2, myid: 2 }}\n  \
             c: {{ address: 10.0.0.3, myid: 3 }}\nsecurity: {{ tls: {security} }}\n{brokers}"
        );
        let path = std::path::Path::new("inventory.yaml");
        let reading = crate::inventory::read(path, yaml.as_bytes(), None);
        reading.inventory.unwrap_or_else(|| panic!("{}", reading.shown))
    }

    /// The configuration that this stage writes to the first host, with the broker's.
    fn written(inventory: &Inventory, stage: Stage) -> Vec<(String, String)> {
        let mut staged = inventory.clone();
        stage.apply(&mut staged);
        let host = &inventory.hosts[0];
        let render = |name| template::render(&staged, host, name).expect("it renders");
        let mut facts = vec![(format!("content {CONFIG_FILE}"), render("zookeeper.properties"))];
        if !inventory.brokers.is_empty() {
            facts.push((format!("content {BROKER_CONFIG_FILE}"), render("server.properties")));
        }
        facts
    }

    /// Runs until nothing is left, and gives each stage.
    fn way(from: &Inventory, to: &Inventory) -> Vec<(Transport, Transport)> {
        let mut facts =
            written(from, Stage { clients: from.security.clients, members: from.security.members });
        let mut stages = Vec::new();
        loop {
            let observed: Vec<_> = to
                .hosts
                .iter()
                .map(|host| {
                    let facts = facts.iter().map(|(name, body)| (name.as_str(), body.as_str()));
                    (host, Observed::of(facts))
                })
                .collect();
            let observed: Vec<_> = observed.iter().map(|(host, seen)| (*host, seen)).collect();
            let stage = stage(to, &observed);
            assert!(stages.len() < 9, "{stages:?}");
            stages.push((stage.clients, stage.members));
            facts = written(to, stage);
            if stage.note(to).is_none() {
                return stages;
            }
        }
    }

    use Transport::{Accepted, Off, Optional, Required};

    #[test]
    fn servers_rise_and_fall_by_one_step_a_run() {
        let plain = inventory("{ clients: off }", false);
        let secured = inventory("{ clients: required, members: required }", false);
        let up = [(Optional, Accepted), (Required, Optional), (Required, Required)];
        assert_eq!(way(&plain, &secured), up);
        let down = [(Optional, Optional), (Off, Accepted), (Off, Off)];
        assert_eq!(way(&secured, &plain), down);
        assert_eq!(way(&secured, &secured), [(Required, Required)]);
    }

    #[test]
    fn servers_take_both_until_brokers_have_moved() {
        let (plain, secured) =
            (inventory("{ clients: off }", true), inventory("{ clients: required }", true));
        assert_eq!(way(&plain, &secured), [(Optional, Off), (Required, Off)]);
        assert_eq!(way(&secured, &plain), [(Optional, Off), (Off, Off)]);
        // Brokers that are still plain where the servers take both already.
        let mut both = inventory("{ clients: optional }", true);
        both.security.brokers = false;
        assert_eq!(way(&both, &secured), [(Optional, Off), (Required, Off)]);
    }

    #[test]
    fn tls_that_was_set_up_by_hand_is_left_alone() {
        let plain = inventory("{ clients: off }", false);
        let by_hand = "secureClientPort=2281\nssl.keyStore.location=/etc/own.p12\nsslQuorum=true\n\
                       ssl.quorum.keyStore.location=/etc/own.p12\n";
        let observed = Observed::of([(format!("content {CONFIG_FILE}").as_str(), by_hand)]);
        let all: Vec<_> = plain.hosts.iter().map(|host| (host, &observed)).collect();
        assert_eq!(stage(&plain, &all), Stage { clients: Off, members: Off });
    }

    #[test]
    fn an_interrupted_roll_is_finished_before_the_next_step() {
        let ladder = |there: &[Transport], whole| step(&MEMBERS, Required, there, whole);
        assert_eq!(ladder(&[Off, Accepted, Off], true), Accepted);
        assert_eq!(ladder(&[Optional, Accepted, Accepted], true), Optional);
        assert_eq!(ladder(&[Optional, Required], true), Required);
        assert_eq!(ladder(&[Accepted, Optional], false), Accepted, "nobody is left behind");
        assert_eq!(ladder(&[], true), Required, "a new ensemble");
        let down = |there: &[Transport], whole| step(&MEMBERS, Off, there, whole);
        assert_eq!(down(&[Required, Optional], true), Optional);
        assert_eq!(down(&[Accepted, Off], true), Off);
        assert_eq!(down(&[Optional, Optional], false), Optional);
    }
}
