//! `zkprov certs`: who has which certificate until when; and one authority that follows another.

use std::fs::File;
use std::io::{self, Read as _};

use coordinator::tls::blocks;
use coordinator::tls::encode::pem;
use coordinator::tls::request::REQUEST_BYTES_MAX;

use crate::artifacts::build::Builds;
use crate::artifacts::kept::Kept;
use crate::artifacts::security::{AUTHORITY, FORMER, NEXT, SecurityFiles, now_s};
use crate::certificates::due::{days_left, first};
use crate::certificates::issue;
use crate::cli::{self, CertsCommand, Connection, OutputOptions, Selection};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::session::HostSession;
use crate::inventory::{Inventory, scalar};
use crate::layout::{BROKER_KEY_STORE, KEY_STORE, TRUST_STORE};
use crate::plan::resource::certificate;
use crate::plan::show;
use crate::plan::{Only, Plan};
use crate::report::{
    self,
    event::{Event, Summary},
};
use crate::run::{self, Planned, Run, confirm};

pub async fn run(arguments: cli::Certs) -> Outcome {
    match arguments.command {
        None => {
            let cli::ListCerts { inventory, selection, connection, output_options } =
                arguments.list;
            list(&begin(&inventory, &selection, &connection, &output_options).await?).await
        }
        Some(CertsCommand::Issue(issue)) => issue_to_client(&issue),
        Some(CertsCommand::RotateCa(rotate)) => {
            let cli::RotateCa { inventory, yes, connection } = rotate;
            let output = OutputOptions { output: cli::Output::Text };
            let run = begin(&inventory, &Selection::default(), &connection, &output).await?;
            rotate_authority(&run, yes).await
        }
    }
}

/// A run that looks, and builds nothing.
async fn begin(
    inventory: &cli::InventoryFile,
    selection: &Selection,
    connection: &Connection,
    output_options: &OutputOptions,
) -> Result<Run, Failure> {
    let inventory = Inventory::load(&inventory.inventory)?;
    if !inventory.security.tls() {
        return Err(Failure::usage("this inventory asks for no TLS")
            .hint("`security: { tls: { clients: optional } }` begins it"));
    }
    let mut run = Run::new(inventory, selection, connection, output_options).await?;
    run.builds = Builds::Never;
    Ok(run)
}

/// A certificate for somebody who is no host of the inventory: the shell's and other clients' way in.
fn issue_to_client(arguments: &cli::IssueCert) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    if let Err(wrong) = scalar::name(&arguments.name) {
        let failure = Failure::usage(wrong.message);
        return Err(match wrong.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    }
    // What the servers and the brokers are called is theirs.
    let taken = inventory.hosts.iter().any(|host| host.name == arguments.name);
    if taken || ["broker", "operator"].contains(&arguments.name.as_str()) {
        let cause = format!(
            "`{}` is the name of a host, of the brokers or of the operator",
            arguments.name
        );
        return Err(Failure::refused(cause).hint("give the client a name of its own"));
    }
    let mut request = String::new();
    let cannot = |error: io::Error| {
        Failure::usage(format!(
            "cannot read the request in {}: {error}",
            arguments.request.display()
        ))
    };
    let longest = REQUEST_BYTES_MAX as u64 + 1;
    if arguments.request.as_os_str() == "-" {
        io::stdin().take(longest).read_to_string(&mut request).map_err(cannot)?;
    } else {
        let file = File::open(&arguments.request).map_err(cannot)?;
        file.take(longest).read_to_string(&mut request).map_err(cannot)?;
    }
    report::data(&SecurityFiles::to_client(&inventory, &arguments.name, &request)?);
    Ok(Exit::Done)
}

/// All certificates as the hosts hold them. Ends with 1 where one has ended or is missing.
async fn list(run: &Run) -> Outcome {
    let planned = run.probe_and_plan(&Only::default()).await?;
    let head = ["where", "subject", "issuer", "names", "days left"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut well = true;
    if let Some(authority) = &run.security.files.authority {
        let left = days_left(&authority.facts, now_s());
        well &= left.is_some();
        rows.push(row("authority", &authority.facts, left));
    }
    for session in &planned.sessions {
        for store in stores(run, session) {
            let found = session.observed.text(&certificate::fact(store));
            let place = format!("{} {store}", session.host.name);
            let Some(facts) = first(&found) else {
                well = false;
                rows.push([place.as_str(), "none", "-", "-", "-"].map(str::to_owned).to_vec());
                continue;
            };
            let left = days_left(&facts, now_s());
            well &= left.is_some();
            run.reporter.event(Event::Certificate {
                host: session.host.name.clone(),
                store: store.to_owned(),
                subject: facts.subject.clone(),
                issuer: facts.issuer.clone(),
                names: facts.names.clone(),
                not_after: facts.not_after,
                days_left: left,
            });
            rows.push(row(&place, &facts, left));
        }
    }
    run.reporter.text(&show::columns(&rows));
    for failure in &planned.failures {
        run.reporter.failed(failure);
    }
    let exit = match run::worst(&planned.failures) {
        Exit::Done if !well => Exit::Failed,
        exit => exit,
    };
    run.reporter.event(Event::Summary(Box::new(Summary {
        hosts: Some(planned.sessions.len()),
        exit: Some(exit.code()),
        ..Summary::default()
    })));
    run.fleet.close(planned.sessions).await;
    Ok(exit)
}

fn row(place: &str, facts: &coordinator::tls::Facts, left: Option<u64>) -> Vec<String> {
    let names = if facts.names.is_empty() { "-".into() } else { facts.names.join(",") };
    let left = left.map_or_else(|| "expired".into(), |days| days.to_string());
    vec![place.to_owned(), facts.subject.clone(), facts.issuer.clone(), names, left]
}

/// The stores that a host has by the inventory.
fn stores(run: &Run, session: &HostSession<'_>) -> Vec<&'static str> {
    let member = session.host.is_member().then_some(KEY_STORE);
    let broker = run.inventory.broker_on(session.host).filter(|_| run.inventory.security.brokers);
    member.into_iter().chain(broker.map(|_| BROKER_KEY_STORE)).collect()
}

/// Where one authority follows another: first all hosts believe both, then all have certificates of the new
/// one, then nobody believes the old one. Each call makes one step here, and `apply` brings it to the hosts.
async fn rotate_authority(run: &Run, yes: bool) -> Outcome {
    if run.inventory.security.ca.is_some() {
        return Err(Failure::usage("this inventory names an authority of its own").hint(
            "put the new authority's certificate behind the old one in its file and apply, then swap both and the \
             key and apply, then take the old one away and apply",
        ));
    }
    let kept = Kept::of(&run.inventory);
    if kept.read(AUTHORITY)?.is_none() {
        return Err(Failure::usage("there is no authority yet").hint("`zkprov apply` makes it"));
    }
    let planned = run.probe_and_plan(&Only::default()).await?;
    let step = next_step(&kept, &planned);
    let said = match step {
        Ok(step) => {
            confirm::confirm(yes, step.question())?;
            step.make(&kept, &run.inventory.ensemble)
        }
        Err(failure) => Err(failure),
    };
    run.fleet.close(planned.sessions).await;
    run.reporter.text(&format!("{}\n", said?));
    Ok(Exit::Done)
}

/// What comes next for the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Announce,
    Switch,
    Forget,
}

fn next_step(kept: &Kept, planned: &Planned<'_>) -> Result<Step, Failure> {
    let step = if kept.read(NEXT)?.is_some() {
        Step::Switch
    } else if kept.read(FORMER)?.is_some() {
        Step::Forget
    } else {
        Step::Announce
    };
    // A host that lags behind would be cut off from the others by the next step.
    let behind = behind(&planned.plan);
    let silent: Vec<String> =
        planned.failures.iter().filter_map(|failure| failure.host.clone()).collect();
    let lagging = [behind, silent].concat();
    if !lagging.is_empty() {
        let cause = format!("not every host has what the last step made: {}", lagging.join(", "));
        return Err(Failure::refused(cause).hint("`zkprov apply` on all hosts first"));
    }
    Ok(step)
}

/// Hosts whose certificates or trust are not what the plan wants.
fn behind(plan: &Plan) -> Vec<String> {
    let lags = |host: &&crate::plan::HostPlan| {
        !host.refusals.is_empty()
            || host.steps.iter().any(|step| {
                let trust = crate::plan::subject::Subject::File(TRUST_STORE.into());
                step.awaits_certificate() || step.subject == trust
            })
    };
    plan.hosts.iter().filter(lags).map(|host| host.host.clone()).collect()
}

impl Step {
    const fn question(self) -> &'static str {
        match self {
            Self::Announce => "Make a new authority, to be believed beside this one?",
            Self::Switch => "Issue certificates by the new authority from now on?",
            Self::Forget => "Stop believing the former authority?",
        }
    }

    /// Makes it; gives what comes next, for people.
    fn make(self, kept: &Kept, ensemble: &str) -> Result<&'static str, Failure> {
        let there = |name: &str| {
            let gone = || Failure::usage(format!("there is no {}", kept.path(name).display()));
            kept.read(name)?.ok_or_else(gone)
        };
        match self {
            Self::Announce => {
                kept.add(NEXT, &issue::authority(ensemble, now_s())?)?;
                Ok(
                    "1 of 3: `zkprov apply` has all hosts believe both authorities; then rotate-ca again",
                )
            }
            Self::Switch => {
                let (now, next) = (there(AUTHORITY)?, there(NEXT)?);
                // A step that was cut here is ended; at every moment both are believed.
                if now != next {
                    let certificates = blocks(&now, "CERTIFICATE");
                    let former: String =
                        certificates.iter().map(|der| pem("CERTIFICATE", der)).collect();
                    kept.put(FORMER, &former)?;
                    kept.put(AUTHORITY, &next)?;
                }
                kept.remove(NEXT)?;
                Ok("2 of 3: `zkprov apply` issues all certificates anew; then rotate-ca again")
            }
            Self::Forget => {
                kept.remove(FORMER)?;
                Ok("3 of 3: `zkprov apply` has all hosts forget the former authority")
            }
        }
    }
}
