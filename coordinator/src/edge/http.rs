//! `AdminServer` and metrics over HTTP: each port has a thread that asks the server's thread for views.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::completion::Completions;
use super::stores::Stores;
use crate::admin::http::{self, Https, Site};
use crate::admin::view::Parts;
use crate::driver::{Completion, Operators};

/// How long an HTTP request waits for the server's thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves views over HTTP from a thread of its own; with stores by HTTPS, and in the clear only where
/// the flag beside them says so.
pub(super) fn listen(
    operators: &Operators,
    name: &str,
    listener: TcpListener,
    tls: Option<(Stores, bool)>,
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
        https: tls.map(|(stores, plain_too)| {
            let accept = Box::new(move || stores.now().accept());
            Https { accept, plain_too }
        }),
    };
    http::spawn(name, listener, site)
}
