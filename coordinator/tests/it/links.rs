//! Links between members that die quietly, strangers at the members' ports, secrets that change.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coordinator::client::{Client, CreateOptions, word};

use crate::engine::{Engine, Ensemble};
use crate::quorum_tls;

/// Between one server and a port of another. A connection that was cut once stays dead, as one whose
/// next try TCP has put off for long; a new one gets through when the cut is over.
struct Wire {
    cut: Arc<AtomicBool>,
    /// Connections end, and new ones get no answer: a network that is gone, as TCP finds out in the end.
    gone: Arc<AtomicBool>,
    address: String,
}

impl Wire {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(AtomicBool::new(false));
        let gone = Arc::new(AtomicBool::new(false));
        let flags = (Arc::clone(&cut), Arc::clone(&gone));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (target, (is_cut, is_gone)) = (target.clone(), flags.clone());
                std::thread::spawn(move || {
                    if is_cut.load(Ordering::SeqCst) || is_gone.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_mins(1)); // it says nothing
                        return;
                    }
                    let Ok(far) = TcpStream::connect(target) else { return };
                    let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                    let stop = (Arc::clone(&is_cut), Arc::clone(&is_gone));
                    let other = std::thread::spawn(move || pump(back.0, back.1, &stop.0, &stop.1));
                    pump(near, far, &is_cut, &is_gone);
                    let _ = other.join();
                });
            }
        });
        Wire { cut, gone, address }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool, gone: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if cut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_mins(2));
            return;
        }
        if n == 0 || gone.load(Ordering::SeqCst) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Until `done`, for which nothing but a broken server needs so long.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

pub(crate) fn serves(address: &str) -> bool {
    word(address, "srvr", Duration::from_secs(1)).is_ok_and(|answer| answer.contains("Mode: "))
}

#[test]
fn a_member_that_was_cut_off_comes_back_over_new_connections() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "cut_off", 3);
    let lists: Vec<Vec<Wire>> =
        (0..3).map(|_| (0..3).map(|to| Wire::to(ensemble.quorum_address(to))).collect()).collect();
    for (at, wires) in lists.iter().enumerate() {
        let member = |to: usize| {
            let address =
                if to == at { ensemble.quorum_address(to) } else { wires[to].address.clone() };
            format!("server.{}={address}:{}", to + 1, ensemble.election_port(to))
        };
        let lines: Vec<String> = (0..3).map(member).collect();
        ensemble.add_keys(at, &lines);
    }
    for at in 0..3 {
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    let leader = ensemble.leader();
    for victim in [leader, (leader + 1) % 3] {
        let mut bystander = Client::connect(ensemble.address((victim + 1) % 3)).unwrap();
        let touching = |at: usize, to: usize| at != to && (at == victim || to == victim);
        let set = |cut: bool| {
            for (at, wires) in lists.iter().enumerate() {
                for (_, wire) in wires.iter().enumerate().filter(|&(to, _)| touching(at, to)) {
                    wire.cut.store(cut, Ordering::SeqCst);
                }
            }
        };
        set(true);
        wait("cutting a member off", || !serves(ensemble.address(victim)));
        // The others go on, also where the leader is gone.
        wait("an election", || serves(ensemble.address((victim + 1) % 3)));
        bystander.create(&format!("/cut{victim}"), None, CreateOptions::default()).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        set(false);
        let back = wait("the way back", || serves(ensemble.address(victim)));
        let _ = writeln!(std::io::stderr(), "served again {} ms after the heal", back.as_millis());
        assert!(ensemble.log(victim).contains("nothing was heard from it for long"));
        bystander.close().unwrap();
    }
}

/// Each member has an address behind a wire and one at 127.0.0.2; one has a third that this machine
/// does not have.
#[test]
fn members_go_on_over_their_second_addresses_when_the_first_network_dies() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "two_networks", 3);
    let wires: Vec<Vec<Wire>> =
        (0..3).map(|_| (0..3).map(|to| Wire::to(ensemble.quorum_address(to))).collect()).collect();
    // Nobody listens there any more: snapshots go over the second network, too.
    let dead = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (at, wires) in wires.iter().enumerate() {
        let member = |to: usize| {
            let (quorum, election) = (ensemble.quorum_address(to), ensemble.election_port(to));
            let port = quorum.rsplit_once(':').unwrap().1;
            let second = format!("127.0.0.2:{port}:{election}");
            let addresses = match to == at {
                true if at == 0 => {
                    format!("{quorum}:{election}|{second}|192.0.2.1:{port}:{election}")
                }
                true => format!("{quorum}:{election}|{second}"),
                false => format!("{}:{}|{second}", wires[to].address, dead[to].port()),
            };
            format!("server.{}={addresses}", to + 1)
        };
        let lines = (0..3).map(member).chain(["multiAddress.enabled=true".to_owned()]);
        ensemble.add_keys(at, &lines.collect::<Vec<String>>());
    }
    for at in 0..3 {
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    assert!(ensemble.log(0).contains("of 192.0.2.1: "), "{}", ensemble.log(0));
    let write = |at: usize, path: &str| {
        let mut client = Client::connect(ensemble.address(at))?;
        client.create(path, None, CreateOptions::default())?;
        client.close()
    };
    write(0, "/before").unwrap();
    for wire in wires.iter().flatten() {
        wire.gone.store(true, Ordering::SeqCst);
    }
    for at in 0..3 {
        wait("a write over the second addresses", || write(at, &format!("/after{at}")).is_ok());
    }
    // Whoever starts now has nothing but the second ones; it needs a snapshot, too.
    let follower = (ensemble.leader() + 1) % 3;
    ensemble.kill(follower);
    fs::remove_dir_all(ensemble.data(follower)).unwrap();
    ensemble.start_server(follower);
    ensemble.wait_until_serving(follower);
    let mut client = Client::connect(ensemble.address(follower)).unwrap();
    assert!(client.exists("/after2", false).unwrap().is_some());
    client.close().unwrap();
}

#[test]
fn strangers_at_the_ports_of_members_keep_nobody_out() {
    strangers_keep_nobody_out(Ensemble::start(Engine::Ours, "strangers", 3), b"");
}

#[test]
fn half_handshakes_at_the_ports_of_members_keep_nobody_out() {
    let ensemble = quorum_tls::secured("half_handshakes");
    strangers_keep_nobody_out(ensemble, b"\x16\x03\x01\x02\x00\x01\x00");
}

/// Strangers say these words and wait.
fn strangers_keep_nobody_out(mut ensemble: Ensemble, words: &'static [u8]) {
    let leader = ensemble.leader();
    let follower = (leader + 1) % 3;
    let mut bystander = Client::connect(ensemble.address(leader)).unwrap();
    bystander.create("/before", None, CreateOptions::default()).unwrap();
    let ports: Vec<String> = (0..3)
        .flat_map(|at| {
            let election = format!("127.0.0.1:{}", ensemble.election_port(at));
            [ensemble.quorum_address(at), election]
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let crowd: Vec<JoinHandle<()>> = ports
        .into_iter()
        .map(|port| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || {
                let mut idle: Vec<TcpStream> = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    idle.extend(TcpStream::connect(&port));
                    // One that was turned away takes no words.
                    let _ = idle.last_mut().map(|stream| stream.write_all(words));
                    if idle.len() > 80 {
                        idle.remove(0);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    // It needs a snapshot: its data is gone.
    ensemble.kill(follower);
    fs::remove_dir_all(ensemble.data(follower)).unwrap();
    bystander.create("/meanwhile", None, CreateOptions::default()).unwrap();
    ensemble.start_server(follower);
    let back = wait("the way back", || {
        bystander.poll(Duration::from_millis(1)).unwrap(); // its session must not end meanwhile
        serves(ensemble.address(follower))
    });
    let _ = writeln!(std::io::stderr(), "served beside strangers after {} ms", back.as_millis());
    assert!(bystander.exists("/meanwhile", false).unwrap().is_some());
    done.store(true, Ordering::SeqCst);
    for thread in crowd {
        thread.join().unwrap();
    }
    bystander.close().unwrap();
}

#[test]
fn a_secret_is_added_and_rotated_by_rolling_restarts() {
    let mut ensemble = Ensemble::start(Engine::Ours, "rotation", 3);
    assert!(ensemble.log(0).contains("peers are not authenticated"));
    let (old, new) = ("an old secret of many bytes", "a new secret of many bytes");
    let rings = [
        format!("none\n{old}\n"),
        format!("{old}\n"),
        format!("{old}\n{new}\n"),
        format!("{new}\n"),
    ];
    let mut bystander = Client::connect(&ensemble.addresses()).unwrap();
    bystander.create("/rotation", Some(b"0"), CreateOptions::default()).unwrap();
    for (number, ring) in rings.iter().enumerate() {
        for at in 0..3 {
            let file = ensemble.directory().join(format!("secret{at}"));
            fs::write(&file, ring).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if number == 0 {
                ensemble.add_keys(at, &[format!("coordinator.secretFile={}", file.display())]);
            }
            ensemble.kill(at);
            ensemble.start_server(at);
            ensemble.wait_until_serving(at);
            // Its own client moves on; a write shows that a majority is linked.
            wait("a write", || bystander.set_data("/rotation", Some(ring.as_bytes()), -1).is_ok());
        }
    }
    // One that knows only the old one stays out.
    ensemble.kill(0);
    let file = ensemble.directory().join("secret0");
    fs::write(&file, old).unwrap();
    let from = ensemble.log(1).len();
    ensemble.start_server(0);
    ensemble.wait_for_log(1, from, "to the quorum port");
    assert!(!serves(ensemble.address(0)));
}

/// 48 descriptors, and as many idle sockets as there is room for: clients are refused, and the log
/// still finds what it needs.
#[test]
fn idle_sockets_do_not_take_the_descriptors_of_the_log() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "descriptors", 1);
    ensemble.start_server_with_files(0, 48);
    ensemble.wait_until_serving(0);
    let mut bystander = Client::connect(ensemble.address(0)).unwrap();
    let idle: Vec<TcpStream> =
        (0..100).filter_map(|_| TcpStream::connect(ensemble.address(0)).ok()).collect();
    let data = vec![7; 900_000];
    bystander.create("/large", None, CreateOptions::default()).unwrap();
    // Through several segments of the log.
    for _ in 0..150 {
        bystander.set_data("/large", Some(&data), -1).unwrap();
    }
    drop(idle);
    wait("another client", || Client::connect(ensemble.address(0)).is_ok());
    bystander.close().unwrap();
    assert!(ensemble.is_running(0));
    assert!(ensemble.log(0).contains("were refused so far"), "{}", ensemble.log(0));
}
