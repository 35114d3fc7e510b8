//! Ensembles that begin close to a limit: zxids about to run out of their term's numbers, terms about
//! to run out of a zxid's upper half, a queue of which the numbers are about to. It would take days of
//! virtual time to come there.

use std::collections::BTreeMap;

use coordinator::random::Seeded;
use coordinator::state::{ClusterMetadata, Effects, Identity as Who, Stamp, State, Txn};
use coordinator::store::{
    FaultyDisk, Identity, Position, SnapshotMeta, SnapshotWriter, StoreError, Wal, WalOptions,
};
use coordinator::tree::node::{Fields, Kind, ROOT};
use coordinator::tree::{Graft, Tree, acl};
use coordinator::wire::opcode::OpCode;
use raft::eraftpb::ConfState;

use crate::workload::QUEUE;
use crate::world::World;

/// Terms that an ensemble may begin with; the last one leaves room for few elections.
const TERMS: [u64; 3] = [7, 4096, (1 << 31) - 12];
const INDEX: u64 = 3;

/// An ensemble that has gone far.
pub struct Beginning {
    term: u64,
    last_zxid: i64,
    /// Znodes that the queue has had, where it is there already.
    queued: Option<i32>,
    cluster: ClusterMetadata,
}

impl Beginning {
    pub fn draw(random: &mut Seeded, members: &[u8]) -> Beginning {
        let term = TERMS[random.below(3) as usize];
        // The writes of a term ran on into the numbers of the next ones, and are about to again.
        let ahead = random.below(3).min((1 << 31) - 1 - term);
        let last_zxid = (((term + ahead) as i64) << 32) + 0xffff_ffff - random.below(200) as i64;
        let mut cluster = ClusterMetadata::default();
        cluster.cluster_id = u128::from(random.next_u64()) << 64 | 1;
        for &id in members {
            cluster.set_incarnation(id, u128::from(random.next_u64()) << 64 | u128::from(id));
        }
        // Drawn apart, so that a run is what it was before there were such queues.
        let mut draw = Seeded::new((cluster.cluster_id >> 64) as u64);
        let queued = draw.chance(2, 3).then(|| i32::MAX - draw.below(20) as i32);
        Beginning { term, last_zxid, queued, cluster }
    }

    /// Writes the data directory of a member, as `coordinator restore` does.
    fn write(&self, disk: &FaultyDisk, id: u8, conf_state: ConfState) -> Result<(), StoreError> {
        let mut state = match self.queued {
            Some(queued) => with_queue(State::new().tree(), queued),
            None => State::new(),
        };
        let txn = Txn {
            session: 1,
            identity: Who::from_bytes(&[]),
            op: OpCode::CreateSession,
            body: &4000_i32.to_be_bytes(),
        };
        let stamp = Stamp { zxid: self.last_zxid, time_ms: 0 };
        state.apply(stamp, 0, &txn, &mut Effects::new(false), None);
        state.refound(self.term, self.cluster.clone());
        let meta = SnapshotMeta {
            index: INDEX,
            term: self.term,
            conf_state,
            zxid: state.last_zxid(),
            cluster_id: self.cluster.cluster_id,
        };
        let mut writer = SnapshotWriter::create(disk.clone(), &meta)?;
        let mut chunk = Vec::new();
        state.snapshot_begin();
        while !state.snapshot_step(100, &mut chunk) {}
        writer.chunk(&chunk)?;
        let incarnation = self.cluster.incarnation(id).expect("it is a member");
        let options = WalOptions::new(incarnation as u64);
        let (mut wal, _) = Wal::open(disk.clone(), options, Position::default())?;
        wal.reset(Position { index: INDEX, term: self.term })?;
        Identity { myid: id, cluster_id: self.cluster.cluster_id, incarnation }.write(disk)?;
        writer.finish()
    }
}

/// A state with the same znodes, and a queue that has had so many.
fn with_queue(first: &Tree, queued: i32) -> State {
    let mut tree = Tree::default();
    let mut known = BTreeMap::new();
    for (id, _) in first.walk(ROOT) {
        let acl = tree.acls.intern(first.acls.bytes(first.acl(id)));
        let (data, fields) = (first.data(id), first.fields(id));
        if id == ROOT {
            tree.graft_root(data, acl, &fields);
            known.insert(ROOT, ROOT);
            continue;
        }
        let name = std::str::from_utf8(first.name(id)).expect("of the first tree");
        let parent = known[&first.parent(id)];
        let kind = first.kind(id);
        known.insert(id, tree.graft(&Graft { parent, name, data, acl, kind, fields }));
    }
    let fields = Fields { cversion: queued, ..Fields::default() };
    tree.graft(&Graft {
        parent: ROOT,
        name: &QUEUE[1..],
        data: None,
        acl: acl::OPEN,
        kind: Kind::Persistent,
        fields,
    });
    State::imported(tree, BTreeMap::new(), 0, 0)
}

impl World {
    pub fn begin_near_limits(&mut self, beginning: &Beginning) {
        let observers = self.setting.observers();
        for server in &self.servers {
            if server.list.is_empty() {
                continue;
            }
            let ids = |ids: Vec<u8>| ids.into_iter().map(u64::from).collect();
            let listed = server.list.iter().filter(|id| observers.contains(id)).copied().collect();
            let conf_state = ConfState {
                voters: ids(self.setting.voters_of(&server.list)),
                learners: ids(listed),
                ..ConfState::default()
            };
            let written = beginning.write(&server.disk, server.id, conf_state);
            written.expect("the disk is whole so far");
        }
        self.stats.near_limits += 1;
    }
}
