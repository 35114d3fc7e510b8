//! All hosts at once: logs in, asks, changes. Each host succeeds or fails apart from the others.

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::host::conversation::Event;
use crate::host::execute::{self, Progress};
use crate::host::lock::{Answer, Ballot, Operator};
use crate::host::session::{HostSession, observe};
use crate::host::ssh::Connector;
use crate::inventory::Host;
use crate::plan::{HostPlan, Step};
use crate::probe::Reading;
use crate::script;
use crate::script::frame::Kind;

/// The hosts a run works on, and the limits it works within.
#[derive(Debug)]
pub struct Fleet {
    pub connector: Connector,
    forks: Semaphore,
}

/// What is heard while hosts are worked on.
pub enum StepEvent<'a> {
    /// A host's step began.
    Begin(&'a str),
    /// It is done; `output` is what it printed.
    Done {
        step: &'a str,
        output: &'a str,
    },
    Failed(&'a str),
    /// Payload bytes that have left, of so many.
    Sent(u64, u64),
}

impl Fleet {
    pub fn new(connector: Connector, forks: usize) -> Self {
        Self { connector, forks: Semaphore::new(forks.max(1)) }
    }

    /// Logs in to every host and asks what `reading` says.
    pub async fn probe<'a>(
        &self,
        hosts: &[&'a Host],
        reading: impl Fn(&'a Host) -> Result<Reading, Failure>,
    ) -> Vec<(&'a Host, Result<HostSession<'a>, Failure>)> {
        join_all(hosts.iter().map(|&host| {
            let reading = reading(host);
            async move {
                let sessions = async {
                    let _permit = self.forks.acquire().await.expect("never closed");
                    let link = self.connector.connect(host).await?;
                    match observe(&link, host, reading?).await {
                        Ok((observed, skew)) => Ok(HostSession { host, link, observed, skew }),
                        Err(failure) => {
                            link.close().await;
                            Err(failure)
                        }
                    }
                };
                (host, sessions.await)
            }
        }))
        .await
    }

    /// Runs `steps` of one host's plan, and tells how it goes.
    pub async fn change(
        &self,
        session: &HostSession<'_>,
        plan: &HostPlan,
        steps: &[&Step],
        lock: (&Operator, &Ballot),
        mut news: impl FnMut(StepEvent<'_>),
    ) -> (Progress, Result<(), Failure>) {
        let (operator, ballot) = lock;
        let _permit = self.forks.acquire().await.expect("never closed");
        let program = execute::program(&script::nonce(), operator, steps, session.host);
        let total = program.payloads.iter().map(|payload| payload.bytes).sum();
        let mut progress = Progress::default();
        let mut answered = false;
        let ended = session
            .link
            .run_when(
                &program.script,
                &program.payloads,
                execute::DEADLINE,
                ballot.decision(),
                |event| match event {
                    Event::Frame(frame) => {
                        progress.hear(&frame);
                        if let Some(answer) = Answer::of(&frame) {
                            answered = true;
                            ballot.cast(answer);
                        }
                        match frame.kind {
                            Kind::Begin => news(StepEvent::Begin(&frame.name)),
                            Kind::End => {
                                news(StepEvent::Done { step: &frame.name, output: &frame.text() });
                            }
                            Kind::Fail => news(StepEvent::Failed(&frame.name)),
                            _ => {}
                        }
                    }
                    Event::Sent(bytes) => news(StepEvent::Sent(bytes, total)),
                },
            )
            .await;
        if !answered {
            ballot.cast(Answer::Refused(format!("{} is lost", plan.host)));
        }
        let outcome = match ended {
            Ok(ended) => progress.conclude(plan, steps.len(), &ended),
            Err(failure) => {
                let step = progress.begun().first().cloned();
                let failure = Failure { step: failure.step.clone().or(step), ..failure };
                Err(failure.host(&plan.host))
            }
        };
        (progress, outcome)
    }

    /// Ends all logins.
    pub async fn close(&self, sessions: impl IntoIterator<Item = HostSession<'_>>) {
        join_all(sessions.into_iter().map(|session| session.link.close())).await;
    }
}
