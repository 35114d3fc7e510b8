//! Drives a roll of brokers: looks at hosts and coordinators, asks the machine, does what it says,
//! writes it down. What is known of partitions comes from the coordinators, by the tool that every
//! host has (docs/decisions/0009 says why).

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::cli::Part;
use crate::failure::Failure;
use crate::health::kafka::{self, Cluster};
use crate::host::fleet::Asked;
use crate::layout::{BINARY, BROKER_UNIT};
use crate::plan::resource::service;
use crate::probe::{Observed, Reading};
use crate::rolling::brokers::BrokerRoll;
use crate::rolling::drive::{Drive, Harm, Service, put_back};
use crate::rolling::gate::Next;
use crate::rolling::journal::{Entry, Journal};
use crate::script::{self, Script};

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(20);
/// How long a broker that was put back may take to register.
const ROLLBACK_S: &str = "240";
const BROKER: Service = Service {
    part: Part::Broker,
    unit: BROKER_UNIT,
    stops_s: Some(service::BROKER_STOPS_S),
    // A broker hands its leaderships over and closes its logs first: the unit gives it 300 s.
    restart_s: 420,
};

/// The cluster now, every broker's host asked at the same time, and the coordinators by one of them.
pub async fn look(drive: &Drive<'_>) -> Cluster {
    let inventory = &drive.run.inventory;
    let connect = inventory.connect();
    let hosts: Vec<&Asked<'_>> =
        drive.asked.iter().filter(|asked| inventory.broker_on(asked.host).is_some()).collect();
    let answers: Vec<(String, Result<Observed, Failure>)> =
        join_all(hosts.into_iter().map(|asked| {
            let connect = connect.as_str();
            async move { (asked.host.name.clone(), look_at(drive, asked, connect).await) }
        }))
        .await;
    // A host that is cut off from the coordinators says so; another one may know.
    let told = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
    let mut told = told.map(|observed| observed.text("brokers"));
    let first = told.next();
    let line = match first {
        Some(line) if !kafka::tells(&line) => {
            Ok(told.find(|line| kafka::tells(line)).unwrap_or(line))
        }
        Some(line) => Ok(line),
        None => Err("no broker's host can be reached".to_owned()),
    };
    Cluster::of(
        inventory,
        |name| match answers.iter().find(|(host, _)| host == name) {
            Some((_, Ok(observed))) => Ok(observed),
            Some((_, Err(failure))) => Err(failure.cause.clone()),
            None => Err("it cannot be reached".to_owned()),
        },
        line.as_deref().map_err(Clone::clone),
    )
}

async fn look_at(drive: &Drive<'_>, asked: &Asked<'_>, connect: &str) -> Result<Observed, Failure> {
    let mut script = Script::new(&script::nonce());
    script.library(service::SHELL);
    script.call("zk_guard", ["20"]);
    let mut reading = Reading::default();
    reading.unit(BROKER_UNIT);
    reading.function("probe_brokers", [BINARY, connect]);
    reading.ask_only(&mut script);
    drive.observe(asked, &script, LOOK).await
}

/// The roll from its first look to its end.
pub async fn drive(
    drive: &Drive<'_>,
    roll: &mut BrokerRoll,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let began = Instant::now();
    let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let again = format!("`zkprov restart --resume {}`", journal.run);
    let mut told = String::new();
    loop {
        let cluster = look(drive).await;
        let left = roll.pending().len();
        if drive.run.stopped() {
            let cause = format!("stopped between two brokers; {left} were not begun");
            return Err(Failure::failed(cause).hint(format!("{again} goes on")));
        }
        match roll.next(&cluster, now_ms()) {
            Next::Wait { pause_ms, why } => {
                if why != told {
                    drive.tell("wait", "", &why);
                    told = why;
                }
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            Next::Transfer { .. } => {}
            Next::Restart { host, why } => {
                drive.tell("restart", &host, &format!("broker: {why}"));
                journal.write(&Entry::Restart { host: host.clone() })?;
                roll.restarted(&host, &cluster, now_ms());
                if let Err(failure) = drive.restart(&host, &BROKER).await {
                    return Err(failed(drive, &host, failure).await);
                }
            }
            Next::Back { host } => {
                journal.write(&Entry::Back { host: host.clone() })?;
                drive.tell("back", &host, "broker: registered, no partition under-replicated");
            }
            Next::Finished => {
                journal.write(&Entry::Finished)?;
                return Ok(());
            }
            Next::Refused { why } => {
                let cause = format!("the roll of the brokers was stopped: {why}");
                return Err(Failure::refused(cause)
                    .hint(format!("{left} brokers are untouched; mend it, then {again}")));
            }
            Next::Failed { host, why } => {
                let said = drive.said(&host, BROKER_UNIT).await.replace('\n', "\n    ");
                let failure = Failure::failed(format!("{why}\n    {said}"))
                    .host(&host)
                    .step("restart of the broker")
                    .hint(format!(
                        "the roll stopped, {left} brokers are untouched; {again} goes on"
                    ));
                return Err(failed(drive, &host, failure).await);
            }
        }
    }
}

/// A broker that was changed and did not come back gets what it ran before.
async fn failed(drive: &Drive<'_>, host: &str, failure: Failure) -> Failure {
    let Some(harm) = drive.harm(host, &failure) else { return failure };
    drive.tell("rollback", host, &format!("broker: {}", harm.word()));
    let inventory = &drive.run.inventory;
    let back = async {
        let asked = drive.asked(host)?;
        let id = inventory.broker_on(asked.host).map_or(0, |broker| broker.id).to_string();
        let connect = inventory.connect();
        let mut script = Script::new(&script::nonce());
        script.library(service::SHELL);
        script.call("zk_guard", ["700"]);
        let (_, undo) = drive.keep(&BROKER);
        script.step("put back", "undo_switch", undo.iter().map(String::as_str));
        if harm == Harm::Restarted {
            script.step("restart", "do_restart", BROKER.restart());
        }
        let words = [BROKER_UNIT, ROLLBACK_S, BINARY, "brokers", "--server", &connect, "--id", &id];
        script.step("registers again", "do_await", words);
        drive.done(asked, &script, Duration::from_mins(12)).await
    };
    put_back(failure, back.await, "is registered", "brokers")
}
