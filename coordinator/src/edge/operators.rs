//! Answers for operators: four-letter words on the client port, `AdminServer` and metrics over HTTP.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::completion::{Completion, Completions};
use crate::admin::environment::{self, Environment};
use crate::admin::http::{self, Site};
use crate::admin::view::{LogView, Parts, View};
use crate::admin::words::{self, Action, Word};
use crate::config::Config;
use crate::node::{ConnId, Node};

/// How long an HTTP request waits for the server's thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// What answers need beside the node.
pub(super) struct Operators {
    pub config: Arc<Config>,
    pub environment: Arc<Environment>,
    /// How long the start took, and how much it read.
    pub load_ms: u64,
    pub load_entries: u64,
}

impl Operators {
    /// The node's view, with what only the system knows.
    pub(super) fn view(&self, node: &Node, parts: Parts) -> View {
        let mut view = node.view(parts);
        view.log = LogView { load_ms: self.load_ms, load_entries: self.load_entries, ..view.log };
        if parts.directories {
            let (data, log) = (&self.config.data_dir, &self.config.data_log_dir);
            view.directories = Some(environment::directories(data, log));
        }
        if parts.process {
            view.process = Some(environment::process());
        }
        view
    }

    /// Answers a word into its connection's output.
    pub(super) fn word(&self, node: &mut Node, conn: ConnId, word: [u8; 4]) {
        if let Some(word) = Word::from_bytes(word) {
            let view = self.view(node, word.parts(&self.config));
            if let Some(output) = node.client_output(conn) {
                words::answer(word, &view, &self.config, &self.environment, output);
            }
            match word.action(&view, &self.config) {
                Some(Action::ResetServer) => node.reset_stats(),
                Some(Action::ResetConnections) => node.reset_client_stats(),
                None => {}
            }
        }
        node.word_answered(conn);
    }

    /// Serves views over HTTP from a thread of its own.
    pub(super) fn listen(
        &self,
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
            config: Arc::clone(&self.config),
            environment: Arc::clone(&self.environment),
            source: Box::new(source),
            command_url,
        };
        http::spawn(name, listener, site)
    }
}
