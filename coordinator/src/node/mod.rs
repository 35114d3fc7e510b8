//! The whole server without I/O: inputs and `now` in, outputs out.
//!
//! A [`Node`] owns the replicated state, the raft driver, the sessions and the connections. The
//! edge feeds it bytes, messages, completions and the time, calls [`Node::flush`], and carries
//! out what it finds in the outputs. The simulator does the same with a virtual network, disk and
//! clock; the code in here cannot tell the difference, and one seed gives one run.
//!
//! A node is made of parts. Each owns its fields, is a plain function of them and of what it is
//! given, knows nothing of the node, and is tested alone:
//!
//! * `clock`, `elections`: what time it is, when raft ticks, when to stand for election.
//! * `peers`, `peer`: the other servers, and what is said between them.
//! * `membership`: who votes, who may, and what a leader does next about it.
//! * `entry`, `proposals`, `log`, `durability`: from writes to entries, the recent log in memory, and
//!   what waits for the disk.
//! * `outbox`, `syncs`, `lease`: what this server has asked of the leader: writes, reads, time.
//! * `client`, `budget`, `sessions`, `expiry`, `endings`: connections and their share of a turn;
//!   sessions, and what they leave.
//! * `comparison`: whether the members' states are alike.
//! * `snapshots`, `reaper`, `stats`, `audit`.
//!
//! The chapters are `impl Node`: the order in which the parts are asked, and what is done with their
//! answers. `pipeline` takes a connection's requests and answers in order (`turn`, `handshake`,
//! `authentication`, `local`, `sync`, `words`), `replicate` drives raft (`candidacy`, `links`, `members`,
//! `reconfig`, `feature`, `term`, `disk`), `apply` turns committed entries into state, events and
//! answers, `reports`, `leader` and `ending` keep sessions honest, `snapshot` and `snapshot_fetch`
//! write and fetch the state, `compare` holds it against the others', `audited` and `view` show it all
//! to operators.

mod apply;
mod audit;
mod audited;
mod authentication;
mod budget;
mod candidacy;
mod client;
mod clock;
mod compare;
mod comparison;
mod disk;
mod durability;
mod elections;
mod ending;
mod endings;
pub mod entry;
mod expiry;
pub mod feature;
mod forward;
mod handshake;
mod leader;
mod lease;
mod links;
mod local;
mod log;
mod members;
mod membership;
mod outbox;
pub mod peer;
mod peers;
mod pipeline;
mod proposals;
mod protobuf_groups;
mod reaper;
mod reconfig;
mod replicate;
mod reports;
mod sessions;
mod snapshot;
mod snapshot_fetch;
mod snapshots;
mod stats;
mod sync;
mod syncs;
mod term;
mod turn;
mod view;
mod words;

use std::collections::BTreeMap;

use raft::eraftpb::{Entry, HardState};
use raft::{RawNode, StateRole};

pub use authentication::Authentication;
use authentication::Nonces;
pub use budget::TurnCost;
pub use client::{ConnId, Phase};
pub use log::{LogCache, SnapshotPoint};
pub use peers::{PeerHello, split_frames};
pub use stats::Stats;

use audit::Audit;
use budget::Budget;
use client::Clients;
use clock::{Clocks, Doubt};
use comparison::Comparison;
use durability::Durability;
use elections::Elections;
use endings::Endings;
use lease::Leases;
use membership::Membership;
use outbox::Outbox;
use peers::Peers;
use proposals::Proposals;
use reaper::Reaper;
use sessions::Sessions;
use snapshots::{SnapshotFetch, Snapshots};
use syncs::Syncs;

use crate::admin::words::Word;
use crate::config::Server;
use crate::random::Seeded;
use crate::state::watch::Watches;
use crate::state::{Effects, PasswordRule, State};

/// What a node must know before it starts.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Own id (`myid`).
    pub id: u8,
    /// Participants of the server list, self included; empty means alone.
    pub voters: Vec<u8>,
    pub observers: Vec<u8>,
    /// How often the edge calls [`Node::tick`].
    pub tick_ms: u64,
    pub heartbeat_ms: u64,
    /// What this server says that it understands: [`feature::LEVEL`], or less in a simulation.
    pub level: u16,
    /// As leader, let the members compare their states so often.
    pub compare_every_ms: u64,
    pub election_timeout_ms: u64,
    pub session_timeout_min_ms: u32,
    pub session_timeout_max_ms: u32,
    /// As leader, take changes of members from clients (`reconfigEnabled`).
    pub reconfig_enabled: bool,
    /// Alone for good: nobody can join it.
    pub standalone: bool,
    /// An ensemble has two voters at least (`standaloneEnabled`).
    pub two_voters: bool,
    /// New sessions are this server's own (`localSessionsEnabled`).
    pub local_sessions: bool,
    /// They become the ensemble's with their first ephemeral (`localSessionsUpgradingEnabled`).
    pub local_sessions_upgrade: bool,
    /// Without a quorum for so long, clients that only read are served (`readonlymode.enabled`).
    pub read_only_after_ms: Option<u64>,
    /// Per client address; 0 is no limit.
    pub max_client_connections: u32,
    /// Largest request (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    /// Requests of all clients that are not answered; beyond it each gets one at a time.
    pub requests_in_flight_max: usize,
    /// Bytes of these requests and of answers that are not sent.
    pub bytes_in_flight_max: usize,
    /// Writes between snapshots.
    pub snapshot_ops: u64,
    /// How often the leader looks for containers and TTL nodes to delete.
    pub reap_interval_ms: u64,
    /// How many of them it deletes in a minute at most.
    pub reap_per_minute: u32,
    /// Containers that never had a child go after this (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used_ms: Option<i64>,
    /// TTL nodes are allowed (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// As leader, refuse what goes over hard quotas (`enforceQuota`).
    pub enforce_quota: bool,
    /// Who callers may prove to be, and what they must prove.
    pub authentication: Authentication,
    /// Nobody is refused anything (`skipACL`).
    pub skip_acl: bool,
    /// Who runs this server, where changes are told to the audit log (`audit.enable`).
    pub audit: Option<String>,
    /// What `/zookeeper/config` shall hold; `None` leaves it as it is.
    pub published_members: Option<String>,
    /// Random name of the data directory.
    pub incarnation: u128,
    /// The data directory was empty: this server has never voted from it.
    pub blank: bool,
    /// The operator says that an empty data directory is right (the `initialize` file).
    pub initialize: bool,
    /// Fresh random bytes, used if this server founds the ensemble.
    pub fresh_cluster_id: u128,
    pub fresh_secret: [u8; 32],
    /// The rule for sessions that begin here.
    pub session_passwords: PasswordRule,
    /// Names this run of the process; random.
    pub boot: u64,
}

/// What was found on disk.
pub struct Recovered {
    pub snapshot: SnapshotPoint,
    pub state: State,
    pub hard_state: HardState,
    /// The log after the snapshot.
    pub entries: Vec<Entry>,
}

/// Something for the edge to carry out, in order.
#[derive(Debug)]
pub enum Output {
    /// Append to the log and make durable, then call [`Node::persisted`] with the number.
    Persist {
        number: u64,
        entries: Vec<Entry>,
        hard_state: Option<HardState>,
    },
    /// A received snapshot has replaced the state: the log starts anew behind it. A `Persist`
    /// follows that makes it count.
    Install {
        point: SnapshotPoint,
    },
    /// A snapshot begins; its chunks and its end follow.
    SnapshotBegin {
        point: SnapshotPoint,
        zxid: i64,
        cluster_id: u128,
    },
    SnapshotChunk(Vec<u8>),
    SnapshotEnd,
    /// Fetch the snapshot of this index from a peer and give it to [`Node::snapshot_fetched`].
    FetchSnapshot {
        from: u8,
        index: u64,
        term: u64,
    },
    /// A client asks a four-letter word: give the answer to [`Node::answer_word`].
    Word {
        conn: ConnId,
        word: Word,
    },
    /// The connections to this member end (it was refused or removed).
    Disconnect(u8),
    /// The members and where they are found, from now on.
    Members(BTreeMap<u8, Server>),
    /// Nothing was heard from this member for long: both connections end, and it is dialled anew.
    Redial(u8),
    /// For the log of the server.
    Log(Level, String),
    /// Lines for the audit log, each with a level before it: `I` or `E`.
    Audit(String),
    /// This server cannot go on: the process ends with this message.
    Fatal(String),
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// One server.
pub struct Node {
    config: NodeConfig,
    clocks: Clocks,
    random: Seeded,

    // What is replicated, and how far it is applied.
    state: State,
    applied_index: u64,
    applied_term: u64,
    /// Something in the log is not for this release: nothing is applied any more.
    halted: bool,

    // Raft and the other servers.
    raft: RawNode<LogCache>,
    elections: Elections,
    peers: Peers,
    membership: Membership,
    proposals: Proposals,
    durability: Durability,
    reaper: Reaper,
    snapshots: Snapshots,
    fetch: SnapshotFetch,
    /// Whether this server's state is the others'.
    comparison: Comparison,
    endings: Endings,

    // What this server asks of the leader for its clients.
    outbox: Outbox,
    syncs: Syncs,
    leases: Leases,
    /// When this server next reports, and reviews what need not be looked at in every tick.
    next_report_ms: u64,

    // Clients.
    clients: Clients,
    budget: Budget,
    sessions: Sessions,
    watches: Watches,
    /// What the write at hand changes, for watches.
    effects: Effects,
    /// A write's answer until its events are out.
    reply: Vec<u8>,
    nonces: Nonces,
    /// Lines for the audit log, where one is kept.
    audit: Option<Audit>,

    stopping: bool,
    stats: Stats,
    outputs: Vec<Output>,
}

impl Node {
    /// A server as found on disk. Nothing is sent before the first [`Node::flush`].
    pub fn new(
        config: NodeConfig,
        recovered: Recovered,
        now_ms: u64,
        wall_ms: i64,
        seed: u64,
    ) -> Self {
        let Recovered { snapshot, state, hard_state, entries } = recovered;
        let conf_state = if snapshot.index > 0 {
            snapshot.conf_state.clone()
        } else {
            membership::first_conf_state(&config)
        };
        let (applied_index, applied_term) = (snapshot.index, snapshot.term);
        let logged = membership::Logged::read(state.cluster(), &entries);
        let mut random = Seeded::new(seed);
        let mut node = Node {
            clocks: Clocks::new(now_ms, wall_ms, config.tick_ms),
            applied_index,
            applied_term,
            halted: false,
            elections: Elections::new(&config, now_ms),
            peers: Peers::new(config.id, config.voters.iter().chain(&config.observers).copied()),
            proposals: Proposals::new(state.last_time_ms(), config.enforce_quota),
            durability: Durability::new(hard_state.commit),
            membership: Membership::new(&config, conf_state.clone(), logged),
            raft: {
                let log = LogCache::new(snapshot, conf_state, hard_state, entries);
                replicate::start_raft(&config, log, applied_index)
            },
            reaper: Reaper::new(&config, now_ms),
            snapshots: Snapshots::new(config.snapshot_ops, &mut random),
            fetch: SnapshotFetch::default(),
            comparison: Comparison::default(),
            endings: Endings::default(),
            outbox: Outbox::new(config.boot),
            syncs: Syncs::default(),
            leases: Leases::new(now_ms.saturating_sub(config.election_timeout_ms * 3)),
            next_report_ms: now_ms,
            clients: Clients::default(),
            budget: Budget::new(config.requests_in_flight_max, config.bytes_in_flight_max),
            sessions: Sessions::default(),
            watches: Watches::default(),
            effects: Effects::new(false),
            reply: Vec::new(),
            nonces: Nonces::new(config.authentication.nonce_key),
            audit: config.audit.clone().map(Audit::new),
            stopping: false,
            stats: Stats::default(),
            outputs: Vec::new(),
            random,
            state,
            config,
        };
        node.redraw_election_timeout();
        node.adopt_members();
        node.membership.review_own_directory(node.state.cluster(), node.applied_index);
        node.review_permission();
        if node.connected_majority() {
            node.campaign_soon(0); // alone: nobody to wait for
        }
        node
    }

    /// The time has moved on. Call before what has arrived is handed over: what a connection asks
    /// after the end of its lease is not answered any more.
    pub fn wake(&mut self, now_ms: u64, wall_ms: i64) {
        match self.clocks.advance(now_ms, wall_ms) {
            Some(Doubt::Begins(ahead_ms)) => self.log(
                Level::Warn,
                &format!(
                    "the system's clock is {} s ahead all of a sudden: it is not followed for now; \
                     look at its time service",
                    ahead_ms / 1000
                ),
            ),
            Some(Doubt::Ends(ahead_ms)) => self.log(
                Level::Warn,
                &format!("the system's clock stays {} s ahead: it is followed", ahead_ms / 1000),
            ),
            None => {}
        }
        self.budget.begin_turn();
        self.enforce_leases();
    }

    /// Does what is due. Call at least every `tick_ms`, after what has arrived is handed over:
    /// nobody is silent whose words wait in a socket.
    pub fn tick(&mut self) {
        self.tick_raft();
        if self.clocks.now_ms() >= self.next_report_ms {
            self.next_report_ms = self.clocks.now_ms() + self.config.heartbeat_ms * 2;
            self.report();
            self.announce();
            self.say_alive();
            self.review_members();
            self.publish_members();
            self.repeat_offers();
            self.review_counter();
            self.review_level();
            self.review_comparison();
        }
        self.review_links();
        self.review_disk();
        self.close_without_handshake();
        self.review_local_sessions();
        self.watches.forget_dropped();
        self.step_comparison();
        if self.leading() {
            self.expire_sessions();
            self.reap();
        }
    }

    /// Writes of this server's sessions that are not answered yet.
    pub fn writes_waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Turns everything gathered since the last call into proposals, messages, disk writes,
    /// state and answers. Call after each batch of inputs; cheap when there is nothing to do.
    pub fn flush(&mut self) {
        if self.halted {
            return;
        }
        self.resume_queued();
        self.submit_writes();
        self.end_next_part();
        self.propose_entries();
        self.ask_read_index();
        self.handle_ready();
        self.finish_endings();
        self.finish_syncs();
        self.step_snapshot();
        self.flush_audit();
    }

    /// Whether [`Node::flush`] has something to do already.
    pub fn pending(&self) -> bool {
        !self.halted && self.pending_work()
    }

    fn pending_work(&self) -> bool {
        let ready = self.raft.has_ready() && self.budget.may_apply();
        self.clients.has_dirty() || ready || self.can_submit() || self.can_end()
    }

    /// Writes wait, and there is somebody to give them to.
    fn can_submit(&self) -> bool {
        let leader = self.leader();
        self.outbox.has_unsent() && leader != 0 && self.peers.is_up(leader)
    }

    /// What is to be carried out, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The clock of the last tick.
    pub fn now_ms(&self) -> u64 {
        self.clocks.now_ms()
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Nothing is left of the node but this.
    pub fn into_state(mut self) -> State {
        self.snapshots.abort(&mut self.state);
        self.state
    }

    pub fn id(&self) -> u8 {
        self.config.id
    }

    /// Whether this member counts in elections and for durability, as far as this server knows.
    pub fn votes(&self, id: u8) -> bool {
        self.membership.is_voter(u64::from(id))
    }

    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Id of the leader as far as this server knows; 0 when it knows none.
    pub fn leader(&self) -> u8 {
        self.raft.raft.leader_id as u8
    }

    fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// Leads, and has applied everything that earlier leaders have committed.
    fn leading(&self) -> bool {
        self.is_leader() && self.applied_term == self.raft.raft.term
    }

    fn log(&mut self, level: Level, text: &str) {
        self.outputs.push(Output::Log(level, text.to_owned()));
    }

    /// SIGTERM: hands leadership over and ends the connections, not the sessions.
    pub fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.transfer_leadership(None);
        for conn in self.clients.ids() {
            self.close_client(conn);
        }
    }

    /// Nothing keeps the process any more (after [`Node::stop`]).
    pub fn stopped(&self) -> bool {
        self.stopping && !(self.is_leader() && self.raft.raft.lead_transferee.is_some())
    }
}
