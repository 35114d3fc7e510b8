//! Answers for operators: four-letter words, views for HTTP, commands of the admin socket.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::{Driver, Host};
use crate::admin::environment::Environment;
use crate::admin::view::{LogView, Parts, View};
use crate::admin::words::{self, Action, Word};
use crate::config::Config;
use crate::node::Node;
use crate::store::Disk;

/// What answers need beside the node.
#[derive(Clone)]
pub struct Operators {
    pub config: Arc<Config>,
    pub environment: Arc<Environment>,
    /// How long the start took, and how many entries it read.
    pub load_ms: u64,
    pub load_entries: u64,
}

impl Operators {
    /// The node's view, with what only the system knows.
    pub(super) fn view(&self, node: &Node, host: &impl Host, parts: Parts) -> View {
        let mut view = node.view(parts);
        view.log = LogView { load_ms: self.load_ms, load_entries: self.load_entries, ..view.log };
        host.complete_view(&mut view, parts);
        view
    }

    /// The answer to a four-letter word, and what the node does beside giving it.
    pub(super) fn answer(
        &self,
        node: &Node,
        host: &impl Host,
        word: Word,
    ) -> (Vec<u8>, Option<Action>) {
        let view = self.view(node, host, word.parts(&self.config));
        let mut text = Vec::new();
        words::answer(word, &view, &self.config, &self.environment, &mut text);
        (text, word.action(&view, &self.config))
    }
}

impl<D: Disk> Driver<D> {
    pub(super) fn backup(&mut self, answer: Sender<Result<u64, String>>) {
        if self.node.serving() {
            self.backups.push((self.node.applied_index(), answer));
            self.node.begin_snapshot();
        } else {
            let why = "this server does not serve, so its data may be old: ask another one, or \
                       see `coordinator rescue`";
            let _ = answer.send(Err(why.to_owned()));
        }
    }

    /// Carries out a line of the admin socket.
    pub fn command(&mut self, line: &str) -> String {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["transfer-leadership"] => self.transfer_leadership(None),
            ["transfer-leadership", to] => match to.parse() {
                Ok(to) => self.transfer_leadership(Some(to)),
                Err(_) => format!("error: `{to}` is not a server id"),
            },
            ["remove-member", id] => match id.parse() {
                Ok(id) => match self.node.remove_member(id) {
                    Ok(()) => format!("ok: removing server {id} from the ensemble"),
                    Err(why) => format!("error: {why}"),
                },
                Err(_) => format!("error: `{id}` is not a server id"),
            },
            ["members"] => self.members(),
            ["snapshot"] => {
                self.node.begin_snapshot();
                "ok: a snapshot has begun".to_owned()
            }
            _ => format!("error: unknown command `{line}`"),
        }
    }

    /// The list that the ensemble keeps itself, in one line.
    fn members(&self) -> String {
        match &self.node.state().cluster().membership {
            Some(membership) => format!("ok: {}", membership.text().replace('\n', " ")),
            None => "error: the members are those of the `server.N` lines: without \
                     `reconfigEnabled` the ensemble keeps no list of its own"
                .to_owned(),
        }
    }

    fn transfer_leadership(&mut self, to: Option<u8>) -> String {
        match self.node.transfer_leadership(to) {
            Some(to) => format!("ok: transferring leadership to server {to}"),
            None if self.node.leader() != self.node.id() => {
                format!("error: {}", self.node.who_leads())
            }
            None => "error: no other voter is linked and can take it".to_owned(),
        }
    }
}
