//! Whom a member's service runs as: an account of its own where nothing was installed before, and else the one
//! to which its data belongs. Data never changes hands by itself.

use crate::inventory::{Engine, Host, Inventory};
use crate::layout::{ACCOUNT, COORDINATOR_ACCOUNT, UNIT_FILE};
use crate::plan::resource::service;
use crate::probe::Observed;

/// Of a member of which nothing is known but the inventory.
pub fn planned(inventory: &Inventory) -> &str {
    let coordinator = &inventory.coordinator;
    // A move between the engines gives the data to one account and back.
    if coordinator.engine == Engine::Zookeeper || coordinator.apache.is_some() {
        return ACCOUNT;
    }
    coordinator.account.as_deref().unwrap_or(COORDINATOR_ACCOUNT)
}

/// All that a member's service may be found to run as.
pub fn possible(inventory: &Inventory) -> Vec<&str> {
    let mut all = vec![planned(inventory), COORDINATOR_ACCOUNT, ACCOUNT];
    all.dedup();
    all
}

/// Of a member that was asked.
pub fn of_member<'a>(inventory: &'a Inventory, host: &Host, observed: &Observed) -> &'a str {
    if inventory.coordinator.account.is_some() {
        return planned(inventory);
    }
    let found = [owner_of_data(host, observed), user_of_unit(observed)];
    let known = |found: String| possible(inventory).into_iter().find(|account| found == *account);
    found.into_iter().flatten().find_map(known).unwrap_or_else(|| planned(inventory))
}

/// Whose the data is, where there is some.
pub fn owner_of_data(host: &Host, observed: &Observed) -> Option<String> {
    let there = observed.path(&host.data_dir)?;
    has_data(host, observed).then(|| there.owner.clone())
}

/// A directory that a server has written to is never to be started as if it were new.
pub fn has_data(host: &Host, observed: &Observed) -> bool {
    observed.listing(&host.data_dir).iter().any(|name| name == "coordinator" || name == "version-2")
}

/// As the unit says that zkprov has written.
fn user_of_unit(observed: &Observed) -> Option<String> {
    let unit = String::from_utf8_lossy(observed.content(UNIT_FILE)?).into_owned();
    let ours = unit.lines().take(5).any(|line| line.contains("zkprov"));
    let mut settings = service::settings(&unit).into_iter().filter(|_| ours);
    settings.find_map(|(key, value)| (key == "User").then_some(value))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(coordinator: &str, facts: &[(&str, &str)]) -> String {
        let yaml = format!(
            "ensemble: t\nhosts: {{ a: {{ address: 10.0.0.1, myid: 1 }} }}\n{coordinator}\n"
        );
        let reading = crate::inventory::read(Path::new("i.yaml"), yaml.as_bytes(), None);
        let inventory = reading.inventory.expect("valid");
        let observed = Observed::of(facts.iter().copied());
        of_member(&inventory, &inventory.hosts[0], &observed).to_owned()
    }

    #[test]
    fn data_and_units_keep_their_account_and_new_members_have_their_own() {
        let listing = ("listing /data/zookeeper", "coordinator\nmyid\n");
        let folder = |owner: &str| format!("directory|{owner}|{owner}|750|4096|0|/data/zookeeper");
        let unit = "content /etc/systemd/system/zookeeper.service";
        let by_kafka = (unit, "# Written by zkprov\n[Service]\nUser=kafka\n");
        let (of_kafka, of_own, of_root) = (folder("kafka"), folder("coordinator"), folder("root"));
        assert_eq!(told("", &[]), "coordinator");
        assert_eq!(told("", &[("paths", &of_kafka), listing]), "kafka");
        assert_eq!(told("", &[("paths", &of_kafka)]), "coordinator", "empty: nobody's yet");
        // The data was handed over; the unit of before is written anew.
        assert_eq!(told("", &[("paths", &of_own), listing, by_kafka]), "coordinator");
        assert_eq!(told("", &[by_kafka]), "kafka");
        assert_eq!(told("", &[(unit, "[Service]\nUser=kafka\n")]), "coordinator", "another's");
        assert_eq!(told("", &[("paths", &of_root), listing, by_kafka]), "kafka");
        assert_eq!(told("coordinator: { engine: zookeeper }", &[]), "kafka");
        assert_eq!(told("coordinator: { account: kafka }", &[]), "kafka");
        let named = told("coordinator: { account: zk }", &[("paths", &of_kafka), listing]);
        assert_eq!(named, "zk");
    }
}
