//! Clients that mean harm, or are merely clumsy: what they send is large, wrong, or never read back.
//! Nothing they do may stop a server, and their neighbours' promises hold beside them. What they do
//! themselves is hardly checked: a four-letter word is answered, and output is bounded.

use coordinator::random::Seeded;
use coordinator::wire::acl::{Acl, AclList, perms, put_acls};
use coordinator::wire::frame;
use coordinator::wire::handshake::ConnectRequest;
use coordinator::wire::jute::{Reader, Strings, put_strings};
use coordinator::wire::multi;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{
    Create, PathMode, Read, Request, SetData, SetWatches, create_mode, xid,
};

use crate::network::{MS, Micros, SECOND};
use crate::workload::frame_of;
use crate::world::{What, World};

const WORDS: [&[u8; 4]; 12] = [
    b"ruok", b"srvr", b"stat", b"mntr", b"cons", b"dump", b"wchp", b"wchc", b"envi", b"conf",
    b"isro", b"dirs",
];
/// A connection whose reader lags by more than this is closed, and a turn may add to it.
const OUTPUT_MAX: usize = 300 << 20;
const HOME: &str = "/hostile";
const LIMITED: &str = "/limited";
const LIMITS: &str = "/zookeeper/quota/limited/zookeeper_limits";

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Word,
    Garbage,
    Session,
}

pub struct Hostile {
    random: Seeded,
    wire: Option<usize>,
    aim: Aim,
    /// Never takes what it is sent.
    deaf: bool,
    heard: usize,
    asked: bool,
    until_us: Micros,
}

impl Hostile {
    pub fn new(seed: u64) -> Hostile {
        Hostile {
            random: Seeded::new(seed),
            wire: None,
            aim: Aim::Word,
            deaf: false,
            heard: 0,
            asked: false,
            until_us: 0,
        }
    }
}

impl World {
    /// Which hostile client a wire is of, if it is one's.
    pub fn hostile_of(&self, wire: usize) -> Option<usize> {
        self.wires[wire].client.checked_sub(self.clients.len())
    }

    pub fn hostile_acts(&mut self, h: usize) {
        if self.now_us >= self.setting.faulty_us {
            if let Some(wire) = self.hostile[h].wire.take() {
                self.client_closes(wire);
            }
            return;
        }
        let delay = self.hostile[h].random.range(MS, 100 * MS);
        self.schedule(delay, What::HostileActs { hostile: h });
        let Some(wire) = self.hostile[h].wire else { return self.hostile_dials(h) };
        if self.now_us > self.hostile[h].until_us {
            self.hostile[h].wire = None;
            return self.client_closes(wire);
        }
        if self.hostile[h].aim == Aim::Session {
            let bytes = attack(&mut self.hostile[h].random);
            self.client_sends(wire, bytes);
        }
    }

    fn hostile_dials(&mut self, h: usize) {
        let count = self.servers.len() as u64;
        let server = self.hostile[h].random.below(count) as usize;
        let wire = self.client_dials(self.clients.len() + h, server);
        let hostile = &mut self.hostile[h];
        let random = &mut hostile.random;
        hostile.wire = Some(wire);
        self.stats.hostile += 1;
        hostile.aim =
            [Aim::Word, Aim::Garbage, Aim::Session, Aim::Session][random.below(4) as usize];
        hostile.deaf = hostile.aim == Aim::Session && random.chance(1, 3);
        hostile.until_us = self.now_us + random.range(10 * MS, 3 * SECOND);
        hostile.heard = 0;
        hostile.asked = false;
        let (deaf, bytes) = (hostile.deaf, opening(hostile.aim, random));
        self.wires[wire].deaf = deaf;
        let half_closes = self.hostile[h].aim == Aim::Word;
        self.client_sends(wire, bytes);
        if half_closes {
            // `echo srvr | nc -N`: nothing more comes, and the answer is still wanted.
            self.client_half_closes(wire);
            self.hostile[h].until_us = self.now_us + 10 * SECOND;
        }
    }

    pub fn hostile_receives(&mut self, h: usize, wire: usize, bytes: &[u8]) {
        if self.hostile[h].wire == Some(wire) {
            self.hostile[h].heard += bytes.len();
        }
    }

    pub fn hostile_sees_end(&mut self, h: usize, wire: usize, unbroken: bool) {
        if self.hostile[h].wire != Some(wire) {
            return;
        }
        self.hostile[h].wire = None;
        if self.hostile[h].aim == Aim::Word && self.hostile[h].heard == 0 && unbroken {
            self.fail("a four-letter word was answered with nothing".to_owned());
        }
    }

    /// What waits for a client that does not read.
    pub fn bound_output(&mut self, server: usize, bytes: usize) {
        if bytes > OUTPUT_MAX {
            self.fail(format!("server {} keeps {bytes} bytes for one client", server + 1));
        }
    }
}

fn opening(aim: Aim, random: &mut Seeded) -> Vec<u8> {
    match aim {
        Aim::Word => WORDS[random.below(WORDS.len() as u64) as usize].to_vec(),
        Aim::Garbage => {
            let length = random.range(1, 4000);
            (0..length).map(|_| random.next_u64() as u8).collect()
        }
        Aim::Session => {
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: 0,
                timeout_ms: 2000,
                session: 0,
                password: Some(&[0; 16]),
                // Who only reads is served where there is no quorum.
                read_only: [None, Some(false), Some(true)][random.below(3) as usize],
            };
            let mut bytes = Vec::new();
            let start = frame::begin(&mut bytes);
            request.encode(&mut bytes);
            frame::end(&mut bytes, start);
            // A ping right behind it.
            bytes.extend_from_slice(&frame_of(xid::PING, &Request::Ping));
            bytes
        }
    }
}

fn attack(random: &mut Seeded) -> Vec<u8> {
    let n = random.next_u64();
    let path = format!("{HOME}/{}", n % 50);
    let create = |path: &str, acl: AclList<'_>, flags: i32| {
        frame_of(1, &Request::Create(Create { path, data: Some(b""), acl, flags, ttl_ms: 0 }))
    };
    match random.below(10) {
        0 => [
            create(HOME, AclList::OPEN, create_mode::PERSISTENT),
            create(LIMITED, AclList::OPEN, create_mode::PERSISTENT),
            create("/zookeeper/quota/limited", AclList::OPEN, create_mode::PERSISTENT),
            frame_of(
                1,
                &Request::Create(Create {
                    path: LIMITS,
                    data: Some(b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=8"),
                    acl: AclList::OPEN,
                    flags: create_mode::PERSISTENT,
                    ttl_ms: 0,
                }),
            ),
        ]
        .concat(),
        // A long list of its own.
        1 => {
            let count = random.range(1, 400);
            let ids: Vec<String> = (0..count).map(|i| format!("u{n}-{i}:hash")).collect();
            let acls = ids.iter().map(|id| Acl { perms: perms::ALL, scheme: "digest", id });
            let mut bytes = Vec::new();
            put_acls(&mut bytes, acls);
            let list = AclList::decode(&mut Reader::new(&bytes)).expect("it was just made");
            create(&path, list, create_mode::PERSISTENT)
        }
        // Many answers for one short request.
        2 => {
            let mut body = Vec::new();
            for _ in 0..random.range(1, 500) {
                multi::put_op(&mut body, &Request::GetChildren(Read { path: "/", watch: false }));
            }
            multi::put_end(&mut body);
            let request = Request::decode(OpCode::MultiRead, &body).expect("it was just made");
            frame_of(2, &request)
        }
        3 => {
            let one = frame_of(3, &Request::GetAllChildrenNumber("/"));
            one.repeat(random.range(1, 1500) as usize)
        }
        4 => {
            let data = vec![b'x'; random.range(1, 200_000) as usize];
            frame_of(4, &Request::SetData(SetData { path: &path, data: Some(&data), version: -1 }))
                .repeat(random.range(1, 4) as usize)
        }
        5 => {
            let paths: Vec<String> =
                (0..random.range(1, 3000)).map(|i| format!("/w/{i}")).collect();
            let mut bytes = Vec::new();
            put_strings(&mut bytes, paths.iter().map(String::as_str));
            let list = Strings::decode(&mut Reader::new(&bytes)).expect("it was just made");
            let none = Strings::EMPTY;
            frame_of(
                xid::SET_WATCHES,
                &Request::SetWatches2(SetWatches {
                    relative_zxid: 0,
                    data: list,
                    exist: list,
                    child: list,
                    persistent: none,
                    persistent_recursive: list,
                }),
            )
        }
        6 => frame_of(6, &Request::AddWatch(PathMode { path: "/", mode: 1 })),
        7 => create(&format!("{LIMITED}/e-"), AclList::OPEN, create_mode::EPHEMERAL_SEQUENTIAL)
            .repeat(random.range(1, 20) as usize),
        // So many ephemerals that their session ends in parts.
        8 if n.is_multiple_of(4) => {
            let mut body = Vec::new();
            for at in 0..500 {
                let path = format!("{HOME}/e{n}-{at}");
                let (acl, flags) = (AclList::OPEN, create_mode::EPHEMERAL);
                let create = Create { path: &path, data: None, acl, flags, ttl_ms: 0 };
                multi::put_op(&mut body, &Request::Create(create));
            }
            multi::put_end(&mut body);
            let request = Request::decode(OpCode::Multi, &body).expect("it was just made");
            frame_of(8, &request)
        }
        // Half a frame, and the beginning of something huge.
        _ => {
            let mut bytes = create(&path, AclList::OPEN, create_mode::PERSISTENT);
            bytes.truncate(random.range(1, bytes.len() as u64) as usize);
            bytes
        }
    }
}
