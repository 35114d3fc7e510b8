//! `AdminServer` and metrics over HTTP: each port has a thread that asks the server's thread for views.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::completion::Completions;
use crate::admin::http::{self, Site};
use crate::admin::view::Parts;
use crate::driver::{Completion, Operators};

/// How long an HTTP request waits for the server's thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves views over HTTP from a thread of its own.
pub(super) fn listen(
    operators: &Operators,
    name: &str,
    listener: TcpListener,
    command_url: Option<String>,
    completions: Completions,
) -> std::io::Result<()> {
    let source = move |parts: Parts| {
        let (answer, answers) = channel();
        completions.send(Completion::View { parts, answer });
        answers.recv_timeout(PATIENCE).ok()
    };
    let site = Site {
        config: Arc::clone(&operators.config),
        environment: Arc::clone(&operators.environment),
        source: Box::new(source),
        command_url,
    };
    http::spawn(name, listener, site)
}
