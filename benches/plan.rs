//! How long the pure half of a run takes: a thousand bare hosts, from an inventory to the plan's text.
//! `cargo bench --bench plan`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use zkprov::inventory;
use zkprov::plan::desired::{self, Artifact, Artifacts, Release};
use zkprov::plan::show;
use zkprov::plan::{self, Only};
use zkprov::probe::Observed;

const HOSTS: usize = 1000;
/// The others are hosts of brokers.
const MEMBERS: usize = 5;

fn main() {
    let mut yaml = "ensemble: bench\nhosts:\n".to_owned();
    for host in 1..=HOSTS {
        let address = format!("10.1.{}.{}", host / 250, host % 250 + 1);
        let role = if host > MEMBERS { "role: broker".into() } else { format!("myid: {host}") };
        let _ = writeln!(yaml, "  h{host}: {{ address: {address}, {role} }}");
    }
    yaml.push_str("brokers:\n");
    for host in 1..=HOSTS {
        let _ =
            writeln!(yaml, "  h{host}: {{ broker_id: {host}, listeners: \"PLAINTEXT://:9092\" }}");
    }
    let reading = inventory::read(Path::new("inventory.yaml"), yaml.as_bytes(), None);
    let Some(inventory) = reading.inventory else { panic!("{}", reading.shown) };
    let artifacts = Artifacts {
        binary: Some(Artifact { path: "coordinator".into(), sha256: "0".repeat(64), bytes: 1 }),
        release: Some(Release {
            sha512: "0".repeat(128),
            bytes: Some(1),
            path: None,
            urls: Vec::new(),
        }),
        ..Artifacts::default()
    };
    let observed = Observed::of([
        ("kernel", "Linux 6.1.0 x86_64"),
        ("systemd", "yes"),
        ("uid", "0"),
        ("content /etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n"),
    ]);
    let began = Instant::now();
    let plans = inventory.hosts.iter().map(|host| {
        let resources = desired::resources(&inventory, host, &artifacts).expect("resources");
        plan::host(&inventory, host, &resources, &observed, &Only::default())
    });
    let seen: Vec<_> = inventory.hosts.iter().map(|host| (host, &observed)).collect();
    let plan = plan::ensemble(&inventory, plans.collect(), &seen);
    let bytes = show::plan(&plan, show::Detail::default()).len();
    let took = began.elapsed().as_millis();
    let _ = writeln!(
        std::io::stdout(),
        "{HOSTS} hosts planned and shown ({bytes} bytes of text) in {took} ms"
    );
}
