//! Situations as texts: an inventory and what hosts say of themselves goes in, what the plan makes of it
//! comes out. A paragraph `=== HOST FACT` holds one answer of a host's probe; `all` stands for every host. What
//! is not said is as on a bare, fit host. Of a plan, what is refused or noted is told in full, and every step
//! that a bare host would not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use zkprov::certificates::{Trust, due};
use zkprov::inventory::{self, Inventory};
use zkprov::plan::desired::{self, Artifacts};
use zkprov::plan::reason::Reason;
use zkprov::plan::{self, HostPlan, Only};
use zkprov::probe::Observed;

use crate::cases;

/// A host on which everything could be done.
const FIT: [(&str, &str); 10] = [
    ("sysctl vm.swappiness", "1"),
    ("uid", "0"),
    ("kernel", "Linux 6.1.0-28-amd64 x86_64"),
    ("systemd", "yes"),
    ("missing", ""),
    ("readonly", ""),
    ("java", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"),
    ("java_version", "17.0.15"),
    ("memory", "4000000"),
    ("mounts", "/\n/proc\n/sys\n"),
];

type Facts = BTreeMap<String, String>;

#[test]
fn each_situation_is_known_by_name() {
    cases("situations", |_, input| {
        let (head, told) = input.split_once("\n=== ").unwrap_or((input, ""));
        let (flags, yaml) = match head.strip_prefix("# take over\n") {
            Some(yaml) => (true, yaml),
            None => (false, head),
        };
        let reading = inventory::read(Path::new("inventory.yaml"), yaml.as_bytes(), None);
        let Some(inventory) = reading.inventory else { return reading.shown };
        let problems = plan::valid::problems(&inventory);
        if !problems.is_empty() {
            return problems.join("\n") + "\n";
        }
        let only = Only::new(&[]).expect("all kinds").taking_over(flags);
        let facts = facts(&inventory, told);
        let observed: Vec<_> = inventory
            .hosts
            .iter()
            .map(|host| {
                let facts = &facts[&host.name];
                (
                    host,
                    Observed::of(facts.iter().map(|(name, body)| (name.as_str(), body.as_str()))),
                )
            })
            .collect();
        let artifacts = Artifacts { trust: Some(trust()), ..Artifacts::default() };
        let all: Vec<_> = observed.iter().map(|(host, observed)| (*host, observed)).collect();
        let stage = plan::transport::stage(&inventory, &all);
        let left = stage.note(&inventory).map(|note| format!("{note}\n")).unwrap_or_default();
        let mut inventory = inventory.clone();
        stage.apply(&mut inventory);
        let plans = observed.iter().map(|(host, observed)| {
            let account = plan::account::of_member(&inventory, host, observed).to_owned();
            let artifacts = Artifacts { account: Some(account), ..artifacts.clone() };
            let resources =
                desired::resources(&inventory, host, &artifacts).expect("templates render");
            plan::host(&inventory, host, &resources, observed, &only)
        });
        let observed: Vec<_> = observed.iter().map(|(host, observed)| (*host, observed)).collect();
        let plan = plan::ensemble(&inventory, plans.collect(), &observed);
        left + &plan.hosts.iter().map(shown).collect::<String>()
    });
}

/// The authority that has issued the certificates of the texts, on 30 November 2026.
fn trust() -> Trust {
    let bundle =
        std::fs::read_to_string(crate::root().join("tests/cases/certificates/authority.pem"));
    let bundle = bundle.expect("the authority");
    let facts = due::first(&bundle).expect("its certificate");
    Trust { issuer_name: facts.subject_name, bundle, now_s: 1_796_000_000, days: 90 }
}

/// The table for people names every text.
#[test]
fn the_table_names_every_situation() {
    let table =
        std::fs::read_to_string(crate::root().join("docs/situations.md")).expect("the table");
    let folders = ["situations", "hosts"].map(|room| crate::root().join("tests/cases").join(room));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("the cases"));
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(
            table.contains(&format!("`{name}`")),
            "docs/situations.md has no row with `{name}`"
        );
    }
}

/// What each host says.
fn facts(inventory: &Inventory, told: &str) -> BTreeMap<String, Facts> {
    let fit: Facts = FIT.map(|(name, body)| (name.to_owned(), body.to_owned())).into();
    let mut facts: BTreeMap<String, Facts> =
        inventory.hosts.iter().map(|host| (host.name.clone(), fit.clone())).collect();
    for paragraph in told.split("\n=== ").filter(|paragraph| !paragraph.is_empty()) {
        let (title, body) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let (host, fact) = title.split_once(' ').expect("`=== HOST FACT`");
        for (name, facts) in &mut facts {
            if host == "all" || host == name {
                facts.insert(fact.to_owned(), body.to_owned());
            }
        }
    }
    facts
}

fn shown(plan: &HostPlan) -> String {
    let mut text = format!("{}\n", plan.host);
    for refusal in &plan.refusals {
        let _ = writeln!(text, "  refused {}: {}", refusal.resource, refusal.cause);
        let _ = writeln!(text, "          {}", refusal.hint);
    }
    for (name, note) in &plan.notes {
        let _ = writeln!(text, "  note    {name}: {note}");
    }
    let mut others = 0;
    for step in &plan.steps {
        let why = step.change.reason.to_string();
        let name = step.name();
        let usual = matches!(
            step.change.reason,
            Reason::Missing { .. }
                | Reason::LinkMissing { .. }
                | Reason::NotEnabled
                | Reason::NotRunning
                | Reason::NoSuchGroup
                | Reason::NoSuchUser
        );
        if usual || name.ends_with("/initialize") {
            others += 1;
            continue;
        }
        let _ = writeln!(text, "  {:7} {} ({why})", step.change.action.word(), step.target());
    }
    let _ = writeln!(text, "  and {others} changes as on a bare host");
    text
}
