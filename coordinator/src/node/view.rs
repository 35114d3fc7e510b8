//! The node as operators see it: one moment of it, for words, JSON and metrics.

use std::collections::BTreeMap;

use raft::{ProgressState, StateRole};

use super::Node;
use super::client::{Client, Phase};
use super::lease::Leases;
use crate::admin::view::{
    ConnectionView, Extra, LogView, MemberView, Parts, QuotaView, RaftView, Role, Serving,
    SessionView, SessionsView, TrafficView, TreeView, View, WatchesView,
};
use crate::wire::opcode::OpCode;

/// Entries and bytes of paths that a list holds: a few milliseconds of work.
const LISTED_MAX: usize = 10_000;
const LISTED_BYTES_MAX: usize = 4 << 20;

impl Node {
    /// Requests of all clients, since the start or `srst`.
    pub fn requests_received(&self) -> u64 {
        self.stats.received
    }

    /// The log's last sync took this long.
    pub fn record_sync(&mut self, micros: u64) {
        self.stats.sync_us.record(micros);
    }

    /// What stands here; directories and the process are the edge's to fill in.
    pub fn view(&self, parts: Parts) -> View {
        let watches = self.watches.summary();
        let mut view = View {
            now_ms: self.clocks.wall_ms(),
            uptime_ms: self.clocks.uptime_ms(),
            role: self.shown_role(),
            serving: self.shown_serving(),
            zxid: self.state.last_zxid(),
            tree: TreeView {
                node_count: self.state.node_count() as u64,
                ephemerals_count: self.state.ephemerals_count() as u64,
                approximate_data_size: self.state.approximate_data_size(),
                memory_bytes: 0,
            },
            sessions: SessionsView {
                count: self.state.session_count() as u64,
                closed: self.stats.sessions_closed,
                expired: self.stats.sessions_expired,
                attached: self.stats.sessions_attached,
                local: self.sessions.local.len() as u64,
            },
            traffic: self.traffic(),
            watches: WatchesView {
                total: self.watches.count() as u64,
                data_total: watches.watches as u64,
                data_connections: watches.connections as u64,
                data_paths: watches.paths as u64,
            },
            raft: self.raft_view(),
            log: LogView {
                fsync_us: self.stats.sync_us.clone(),
                batch_entries: self.stats.batch_entries.clone(),
                ..LogView::default()
            },
            lists_cut: false,
            connection_list: Vec::new(),
            session_list: Vec::new(),
            ephemeral_list: Vec::new(),
            watch_list: Vec::new(),
            quota_list: if parts.quotas { self.quota_list() } else { Vec::new() },
            directories: None,
            process: None,
            extra: self.extra(),
        };
        self.add_lists(parts, &mut view);
        view
    }

    /// Each list as far as there is room: it is made while nobody is served.
    fn add_lists(&self, parts: Parts, view: &mut View) {
        let rooms = [(); 4].map(|()| Room { entries: LISTED_MAX, bytes: LISTED_BYTES_MAX });
        let [mut connections, mut sessions, mut ephemerals, mut watches] = rooms;
        let mut cut = false;
        if parts.connections {
            cut |= self.clients.count > LISTED_MAX;
            view.connection_list = self.connection_list(&mut connections);
        }
        if parts.sessions {
            cut |= self.state.session_count() > LISTED_MAX;
            view.session_list = self.session_list(&mut sessions);
        }
        if parts.ephemerals {
            view.ephemeral_list = self.ephemeral_list(&mut ephemerals);
            cut |= ephemerals.is_full();
        }
        if parts.watches {
            view.watch_list = self.watch_list(&mut watches);
            cut |= watches.is_full();
        }
        view.lists_cut = cut;
    }

    /// Figures that Apache ZooKeeper does not have.
    fn extra(&self) -> Vec<Extra> {
        let counter =
            |name, help, value: u64| Extra { name, help, counter: true, value: value as f64 };
        let gauge =
            |name, help, value: u64| Extra { name, help, counter: false, value: value as f64 };
        vec![
            counter(
                "unreadable_entries_total",
                "Entries of the log that no release can read, passed over.",
                self.stats.entries_unreadable,
            ),
            counter(
                "refused_forwards_total",
                "Messages with writes that no member sends on, refused.",
                self.stats.forwards_refused,
            ),
            gauge(
                "in_flight_bytes",
                "Bytes of requests without an answer and of answers not sent yet.",
                self.budget.bytes_in_flight() as u64,
            ),
            gauge(
                "state_differs",
                "1 where this member's state is not the majority's: it serves nobody.",
                self.differs().into(),
            ),
            gauge(
                "states_undecided",
                "1 on a leader whose members' states differ without a majority on any side.",
                self.comparison.undecided().into(),
            ),
            counter(
                "states_compared_total",
                "Comparisons in which this member's state was the majority's.",
                self.rounds_agreed(),
            ),
            gauge(
                "feature_level",
                "What every member of the ensemble understands.",
                self.state.cluster().level.into(),
            ),
        ]
    }

    fn shown_serving(&self) -> Serving {
        if self.serving() {
            Serving::ReadWrite
        } else if self.reads_alone() {
            Serving::ReadOnly
        } else {
            Serving::No
        }
    }

    fn shown_role(&self) -> Role {
        let me = u64::from(self.config.id);
        match self.raft.raft.state {
            StateRole::Leader if self.config.standalone => Role::Standalone,
            StateRole::Leader => Role::Leader,
            _ if self.raft.raft.leader_id == 0 => Role::Looking,
            _ if self.membership.is_learner(me) => Role::Observer,
            _ => Role::Follower,
        }
    }

    /// Alone in its ensemble.
    pub fn alone(&self) -> bool {
        self.membership.alone()
    }

    fn traffic(&self) -> TrafficView {
        let waiting = self.clients.iter().map(|(_, c)| c.waiting.len() as u64).sum();
        TrafficView {
            connections: self.clients.count as u64,
            received: self.stats.received,
            sent: self.stats.sent,
            bytes_received: self.stats.bytes_received,
            outstanding: waiting,
            latency_us: self.stats.latency_us.clone(),
            read_latency_us: self.stats.read_latency_us.clone(),
            update_latency_us: self.stats.write_latency_us.clone(),
            connections_accepted: self.stats.connections_accepted,
            connections_rejected: self.stats.connections_rejected,
            connections_dropped: self.stats.connections_dropped,
            auth_failed: self.stats.auth_failed,
            frames_refused: self.stats.frames_refused,
            ..TrafficView::default()
        }
    }

    fn raft_view(&self) -> RaftView {
        let raft = &self.raft.raft;
        let leads = self.is_leader();
        let leader_uptime_ms =
            if leads { self.clocks.now_ms() - self.stats.leader_since_ms } else { 0 };
        let lease_ms = Leases::lease_ms(self.config.session_timeout_min_ms);
        let silence_ms = self.leases.silence_ms(self.clocks.now_ms());
        RaftView {
            cluster_id: self.state.cluster().cluster_id,
            state_differs: self.differs(),
            term: raft.term,
            leader: (raft.leader_id != 0).then_some(raft.leader_id as u8),
            commit_index: raft.raft_log.committed,
            applied_index: self.applied_index,
            last_index: raft.raft_log.last_index(),
            first_index: raft.raft_log.first_index(),
            elections: self.stats.elections,
            leader_changes: self.stats.leader_changes,
            proposals: self.stats.proposals,
            commits: self.stats.entries_applied,
            proposal_size: self.stats.proposal_size,
            forwarded: self.stats.forwarded,
            resent: self.stats.resent,
            leader_uptime_ms,
            lease_remaining_ms: lease_ms.saturating_sub(silence_ms),
            snapshots_received: self.stats.snapshots_received,
            members: self.member_list(),
            ..RaftView::default()
        }
    }

    fn member_list(&self) -> Vec<MemberView> {
        let raft = &self.raft.raft;
        let me = u64::from(self.config.id);
        let mut ids: Vec<u64> = self.membership.members().collect();
        ids.sort_unstable();
        let member = |id: u64| {
            let progress = raft.prs().get(id).filter(|_| self.is_leader());
            let last = raft.raft_log.last_index();
            let close = |p: &raft::Progress| {
                p.state == ProgressState::Replicate && p.matched + 1000 >= last
            };
            let heard_ms = self.peers.heard_ms(id as u8);
            let silent_ms = heard_ms.map(|heard_ms| self.clocks.now_ms().saturating_sub(heard_ms));
            // Raft's own `recent_active` is no measure: each check of the quorum clears it.
            let heard = silent_ms.is_some_and(|ms| ms < 2 * self.config.election_timeout_ms);
            MemberView {
                id: id as u8,
                voter: self.membership.is_voter(id),
                observer: self.membership.is_observer(id as u8),
                connected: self.peers.is_up(id as u8),
                match_index: progress.map_or(0, |p| p.matched),
                synced: progress.is_some_and(|p| id == me || heard && close(p)),
                last_heard_ms: silent_ms,
            }
        };
        ids.into_iter().map(member).collect()
    }

    fn connection_list(&self, room: &mut Room) -> Vec<ConnectionView> {
        let wall_of =
            |ms: u64| self.clocks.wall_ms() - (self.clocks.now_ms().saturating_sub(ms)) as i64;
        let view = |client: &Client| {
            let stats = &client.stats;
            ConnectionView {
                peer: client.address,
                session: if client.phase == Phase::Open { client.session } else { 0 },
                reading: !client.paused(),
                queued: client.waiting.len() as u64,
                received: stats.received,
                sent: stats.sent,
                established_ms: wall_of(stats.since_ms),
                timeout_ms: client.timeout_ms as i32,
                last_operation: OpCode::from_i32(stats.last_op).map_or("NA", short_name),
                last_cxid: i64::from(stats.last_xid),
                last_zxid: stats.last_zxid,
                last_response_ms: wall_of(stats.last_reply_ms),
                last_latency_ms: stats.latency_last_ms,
                min_latency_ms: stats.latency_min_ms.unwrap_or(0),
                avg_latency_ms: stats.latency_sum_ms / stats.latency_count.max(1),
                max_latency_ms: stats.latency_max_ms,
            }
        };
        let listed = self.clients.iter().take_while(|_| room.take(0));
        listed.map(|(_, client)| view(client)).collect()
    }

    fn session_list(&self, room: &mut Room) -> Vec<SessionView> {
        let expires = |id| {
            let at = self.sessions.expiry.deadline(id)?;
            Some(self.clocks.wall_ms() + at as i64 - self.clocks.attentive_ms() as i64)
        };
        let view = |(id, session): (i64, &crate::state::Session)| SessionView {
            id,
            timeout_ms: session.timeout_ms,
            expires_ms: expires(id),
        };
        self.state.sessions().take_while(|_| room.take(0)).map(view).collect()
    }

    fn ephemeral_list(&self, room: &mut Room) -> Vec<(i64, Vec<String>)> {
        let tree = self.state.tree();
        let mut lists = Vec::new();
        for (session, _) in self.state.sessions() {
            let mut paths = Vec::new();
            for id in tree.ephemerals_of(session) {
                let path = tree.path(id);
                if !room.take(path.len()) {
                    break;
                }
                paths.push(path);
            }
            if !paths.is_empty() {
                paths.sort_unstable();
                lists.push((session, paths));
            }
            if room.is_full() {
                break;
            }
        }
        lists
    }

    fn quota_list(&self) -> Vec<QuotaView> {
        let refused = &self.stats.quota_exceeded;
        let mut usage = self.state.quota_usage();
        for namespace in refused.keys() {
            usage.entry(namespace.clone()).or_default();
        }
        let view = |(namespace, usage): (String, _)| {
            let refused = refused.get(&namespace).copied().unwrap_or(0);
            QuotaView { namespace, usage, refused }
        };
        usage.into_iter().map(view).collect()
    }

    fn watch_list(&self, room: &mut Room) -> Vec<(i64, String)> {
        let mut sessions: BTreeMap<u32, i64> = BTreeMap::new();
        let known = self.clients.iter();
        sessions.extend(known.map(|(conn, client)| (conn.slot(), client.session)));
        let session = |slot: u32| sessions.get(&slot).copied().unwrap_or_default();
        let listed = self.watches.pairs().take_while(|(_, path)| room.take(path.len()));
        let mut pairs: Vec<_> =
            listed.map(|(slot, path)| (session(slot), path.to_owned())).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// What may still be put into a list.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    /// `false`: there is none for an entry of this length, nor for any other.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.entries > 0 && self.bytes >= bytes;
        self.entries = if fits { self.entries - 1 } else { 0 };
        self.bytes = self.bytes.saturating_sub(bytes);
        fits
    }

    fn is_full(&self) -> bool {
        self.entries == 0
    }
}

/// `Request.op2String`'s four letters.
fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::CreateSession | OpCode::AttachSession => "SESS",
        OpCode::Ping => "PING",
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::SetData => "SETD",
        OpCode::GetData => "GETD",
        OpCode::Exists => "EXIS",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::SetAcl => "SETA",
        OpCode::GetAcl => "GETA",
        OpCode::Sync => "SYNC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::CloseSession => "CLOS",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::Check => "CHEC",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::Reconfig => "RECO",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        _ => "NA",
    }
}
