//! What hosts of each origin say of the Apache ZooKeeper that runs there, as texts: a first paragraph of
//! options, then facts as `adopt.sh` answers them; out comes the inventory, what is remarked, and what `plan`
//! makes of it, or why nothing is adopted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use zkprov::inventory::{self, Inventory};
use zkprov::migration::adoption::{LookedAt, adopt};
use zkprov::migration::found_server::FoundServer;
use zkprov::probe::Observed;

use crate::cases;

#[test]
fn each_origin_becomes_an_inventory() {
    cases("adopt", |_, input| {
        let mut hosts = Vec::new();
        for (name, facts) in facts(input) {
            let facts = facts.iter().map(|(name, body)| (name.as_str(), body.as_str()));
            match FoundServer::of(&Observed::of(facts)) {
                Ok(server) => {
                    hosts.push(LookedAt { name, ssh: None, root: name_is_root(input), server });
                }
                Err(why) => return format!("refused {name}: {why}\n"),
            }
        }
        let adoption = match adopt("zookeeper", None, &hosts) {
            Ok(adoption) => adoption,
            Err((cause, hint)) => return format!("refused: {cause}\n         {hint}\n"),
        };
        let mut text = adoption.text;
        for remark in &adoption.remarks {
            let _ = writeln!(text, "--- {remark}");
        }
        text
    });
}

fn name_is_root(input: &str) -> bool {
    input.starts_with("# root\n")
}

/// What each host says, in the order of the text. `NAME FACT` heads a paragraph; `all` is every host before.
fn facts(input: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut hosts: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for paragraph in input.split("=== ").skip(1) {
        let (title, body) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let (host, fact) = title.split_once(' ').expect("`=== HOST FACT`");
        if host != "all" && hosts.iter().all(|(name, _)| name != host) {
            hosts.push((host.to_owned(), BTreeMap::new()));
        }
        for (name, facts) in &mut hosts {
            if host == "all" || name == host {
                facts.insert(fact.to_owned(), body.to_owned());
            }
        }
    }
    hosts
}

/// An adopted ensemble is looked at by a tool beside it, and is otherwise left as it is.
#[test]
fn what_was_adopted_is_left_as_it_is() {
    let text = "ensemble: e\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\nkafka: { install: false }\n\
        coordinator:\n  engine: zookeeper\n  apache: { unit_file: /lib/systemd/system/zookeeper.service, \
        config: /etc/zookeeper/conf/zoo.cfg, account: zookeeper }\n";
    let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
    let inventory: Inventory = reading.inventory.expect(&reading.shown);
    let artifacts = zkprov::plan::desired::Artifacts::default();
    let resources = zkprov::plan::desired::resources(&inventory, &inventory.hosts[0], &artifacts)
        .expect("resources");
    let subjects: Vec<String> =
        resources.iter().map(|resource| resource.subject().to_string()).collect();
    assert_eq!(subjects, ["directory /usr/local/lib/zkprov", "service zookeeper.service"]);
}
