//! What TLS costs: a handshake's CPU, an idle connection's memory, requests with and without it, and a
//! storm of clients that come back at once, on this server and on Apache ZooKeeper beside it.
//!
//! `cargo bench --profile fast -p coordinator --bench tls`. Stores are those of `tests/tls`; Apache
//! ZooKeeper is measured where Debian's package is installed. Load and server share the machine.
#![expect(clippy::print_stdout, reason = "the figures are this program's data")]
#![allow(clippy::disallowed_methods, reason = "a bench measures by clocks, files and processes")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use coordinator::client::{Client, CreateOptions, Link, Options, Servers, word};
use coordinator::tls::{
    ClientAuth, Context, Dialler, Names, PROTOCOLS, Session, Settings, Store, client_config,
};
use coordinator::wire::request::{Read, Request};

const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";
/// Parts of Netty that its manifest forgets, without which it does not speak TLS.
const NETTY: [&str; 3] = ["codec", "resolver", "transport-native-unix-common"];
const HANDSHAKES: u32 = 300;
const ROUNDS: u32 = 20_000;
const PIPELINED: usize = 100_000;
const IN_FLIGHT: usize = 64;
const SINGLE: usize = 5_000;
const IDLE: usize = 1_000;
const STORM: usize = 1_000;
const STORM_THREADS: usize = 16;

fn main() {
    handshakes();
    records();
    println!("\n| | {} |", Figures::NAMES.join(" | "));
    println!("|--|{}", "--:|".repeat(Figures::NAMES.len()));
    measure("this server", |directory, ports| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
        command.arg("serve").arg(configure(directory, ports, ""));
        command
    });
    if Path::new(ZOOKEEPER_JAR).exists() {
        measure("Apache ZooKeeper 3.8.0, Netty", |directory, ports| {
            let more = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n";
            let mut command = Command::new("java");
            let netty = NETTY.map(|part| format!("/usr/share/java/netty-{part}.jar")).join(":");
            command
                .args(["-Xmx1g", "-Dlog4j.configuration=none", "-cp"])
                .arg(format!("{ZOOKEEPER_JAR}:{netty}"))
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                .arg(configure(directory, ports, more));
            command
        });
    }
}

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/stores")
}

fn store(names: &[&str]) -> Store {
    let bytes: Vec<u8> =
        names.iter().flat_map(|name| fs::read(stores().join(name)).expect("a store")).collect();
    Store::read(&bytes, "secret").expect("a store that can be read")
}

fn dialler() -> Arc<Dialler> {
    let protocols: Vec<_> = PROTOCOLS.iter().map(|(_, protocol)| *protocol).collect();
    let key = Some(store(&["client.pem", "client.key"]));
    Arc::new(client_config(&protocols, key, store(&["ca.pem"]), Names::Checked).expect("stores"))
}

/// This thread's CPU time: what else runs on the machine does not count.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn since(before: Duration) -> Duration {
    spent().saturating_sub(before)
}

/// What one side has to say goes to the other; what the other spends on it.
fn pass(from: &mut Session, to: &mut Session) -> Duration {
    let (mut wire, mut plain) = (Vec::new(), Vec::new());
    while from.has_output() {
        from.send(&mut wire).expect("a vector takes all");
    }
    let before = spent();
    to.receive(&wire, &mut plain).expect("a handshake that goes on");
    since(before)
}

fn handshakes() {
    println!("| mutual handshake, the server's side alone | µs |\n|--|--:|");
    for (kind, key) in [("RSA-2048", "server"), ("ECDSA P-256", "ecdsa")] {
        for (version, protocol) in PROTOCOLS {
            let settings =
                Settings { protocols: vec![protocol], suites: None, client_auth: ClientAuth::Need };
            let own = store(&[&format!("{key}.pem"), &format!("{key}.key")]);
            let context = Context::new(&settings, own, Some(store(&["ca.pem"]))).expect("stores");
            let (dialler, mut sum) = (dialler(), Duration::ZERO);
            for _ in 0..HANDSHAKES {
                let mut client = dialler.dial("localhost").expect("a name");
                let before = spent();
                let mut server = context.accept().expect("a session");
                sum += since(before);
                while client.is_handshaking() || server.is_handshaking() {
                    sum += pass(&mut client, &mut server);
                    pass(&mut server, &mut client);
                }
            }
            println!("| {kind}, {version} | {} |", (sum / HANDSHAKES).as_micros());
        }
    }
}

/// What the server's thread does for each byte of a member's link, or of a client.
fn records() {
    let settings =
        Settings { protocols: vec![PROTOCOLS[1].1], suites: None, client_auth: ClientAuth::Need };
    let own = store(&["server.pem", "server.key"]);
    let context = Context::new(&settings, own, Some(store(&["ca.pem"]))).expect("stores");
    let mut client = dialler().dial("localhost").expect("a name");
    let mut server = context.accept().expect("a session");
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    println!("\n| record of TLS 1.3 | ns to encrypt | ns to decrypt |\n|--|--:|--:|");
    for bytes in [100, 1_000, 16_000] {
        let message = vec![7; bytes];
        let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
        let (mut wire, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            wire.clear();
            plain.clear();
            let before = spent();
            assert_eq!(client.encrypt(&message), bytes);
            while client.has_output() {
                client.send(&mut wire).expect("a vector takes all");
            }
            sealing += since(before);
            let before = spent();
            server.receive(&wire, &mut plain).expect("records in order");
            opening += since(before);
            assert_eq!(plain.len(), bytes);
        }
        let each = |sum: Duration| (sum / ROUNDS).as_nanos();
        println!("| {bytes} bytes | {} | {} |", each(sealing), each(opening));
    }
}

/// Of clients in the clear and by TLS.
struct Ports {
    plain: u16,
    secure: u16,
}

fn configure(directory: &Path, ports: &Ports, more: &str) -> PathBuf {
    let data = directory.join("data");
    fs::create_dir_all(&data).expect("a directory");
    let (data, stores, Ports { plain, secure }) = (data.display(), stores(), ports);
    let stores = stores.display();
    let text = format!(
        "dataDir={data}\nclientPort={plain}\nsecureClientPort={secure}\nmaxClientCnxns=0\n\
         tickTime=2000\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
         ssl.keyStore.location={stores}/server.p12\nssl.keyStore.password=secret\n\
         ssl.trustStore.location={stores}/trust.p12\nssl.trustStore.password=secret\n\
         ssl.enabledProtocols=TLSv1.2,TLSv1.3\n\
         ssl.ciphersuites=TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n{more}"
    );
    let path = directory.join("zoo.cfg");
    fs::write(&path, text).expect("a file");
    path
}

/// One engine's row.
struct Figures {
    single: [f64; 2],
    pipelined: [f64; 2],
    idle_kib: f64,
    storm: Storm,
}

struct Storm {
    seconds: f64,
    cpu_ms: f64,
    /// What a neighbour on the plain port waits for a read: median and longest.
    neighbour_us: [u128; 2],
}

impl Figures {
    const NAMES: [&str; 8] = [
        "single reads/s, plain",
        "… TLS",
        "pipelined reads/s, plain",
        "… TLS",
        "KiB an idle TLS connection",
        "1,000 clients back, s",
        "CPU ms each",
        "a neighbour's read meanwhile, median / longest µs",
    ];
}

fn measure(name: &str, command: impl Fn(&Path, &Ports) -> Command) {
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("it is bound").port()
    };
    let ports = Ports { plain: free(), secure: free() };
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = command(directory.path(), &ports);
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut server = Running(process.expect("an engine"));
    let plain = format!("127.0.0.1:{}", ports.plain);
    let secure = format!("127.0.0.1:{}", ports.secure);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !word(&plain, "srvr", Duration::from_secs(1)).is_ok_and(|said| said.contains("Mode")) {
        assert!(Instant::now() < deadline, "{name} does not serve");
        assert!(server.0.try_wait().expect("a process").is_none(), "{name} has ended");
        std::thread::sleep(Duration::from_millis(100));
    }
    let figures = engine(&server, &plain, &secure);
    let Figures { single, pipelined, idle_kib, storm } = figures;
    let [median, longest] = storm.neighbour_us;
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {idle_kib:.1} | {:.1} | {:.1} | {median} / {longest} |",
        single[0], single[1], pipelined[0], pipelined[1], storm.seconds, storm.cpu_ms
    );
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn resident_kib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
    }

    /// CPU time so far; the kernel counts in hundredths of a second.
    fn cpu_ms(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("Linux");
        let behind = stat.rsplit(')').next().expect("a name in brackets");
        let ticks = |at: usize| -> f64 {
            behind.split_whitespace().nth(at).and_then(|text| text.parse().ok()).expect("a number")
        };
        (ticks(11) + ticks(12)) * 10.0
    }
}

fn connect(server: &str, tls: Option<&Arc<Dialler>>) -> Client {
    let connect_timeout = Duration::from_mins(2);
    let options = Options { tls: tls.cloned(), connect_timeout, ..Options::default() };
    Client::open(Servers::parse(server).expect("an address"), options, None).expect("a session")
}

fn engine(server: &Running, plain: &str, secure: &str) -> Figures {
    let dialler = dialler();
    let mut first = connect(plain, None);
    first.create("/read", Some(&[b'x'; 100]), CreateOptions::default()).expect("a znode");
    let (mut single, mut pipelined) = ([0.0; 2], [0.0; 2]);
    // The first round warms a virtual machine up.
    for _ in 0..2 {
        for (at, (address, tls)) in
            [(plain, None), (secure, Some(&dialler))].into_iter().enumerate()
        {
            let mut zk = connect(address, tls);
            let begun = Instant::now();
            for _ in 0..SINGLE {
                zk.get_data("/read", false).expect("a read");
            }
            single[at] = SINGLE as f64 / begun.elapsed().as_secs_f64();
            pipelined[at] = pipeline(&mut zk);
            zk.close().expect("an end");
        }
    }
    let before = server.resident_kib();
    let idle: Vec<Link> = (0..IDLE)
        .map(|_| Link::open(secure, Duration::from_mins(1), Some(&dialler)).expect("a handshake"))
        .collect();
    first.sync("/").expect("all of them are taken over");
    let idle_kib = (server.resident_kib() - before) / IDLE as f64;
    drop(idle);
    Figures { single, pipelined, idle_kib, storm: storm(server, plain, secure, &dialler) }
}

fn pipeline(zk: &mut Client) -> f64 {
    let request = Request::GetData(Read { path: "/read", watch: false });
    let begun = Instant::now();
    let mut submitted = 0;
    for collected in 0..PIPELINED {
        while submitted < PIPELINED && submitted - collected < IN_FLIGHT {
            zk.submit(&request).expect("a connection");
            submitted += 1;
        }
        zk.collect().expect("an answer").result.expect("data");
    }
    PIPELINED as f64 / begun.elapsed().as_secs_f64()
}

/// All clients come back at once, with a session each, while a neighbour reads on the plain port.
fn storm(server: &Running, plain: &str, secure: &str, dialler: &Arc<Dialler>) -> Storm {
    let done = AtomicBool::new(false);
    let before = server.cpu_ms();
    let begun = Instant::now();
    let mut waits: Vec<u128> = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut zk = connect(plain, None);
            let mut waits = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                zk.get_data("/read", false).expect("a read");
                waits.push(begun.elapsed().as_micros());
                std::thread::sleep(Duration::from_millis(1));
            }
            waits
        });
        let crowd: Vec<_> = (0..STORM_THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let clients = 0..STORM / STORM_THREADS;
                    clients.map(|_| connect(secure, Some(dialler))).collect::<Vec<_>>()
                })
            })
            .collect();
        let clients: Vec<_> =
            crowd.into_iter().map(|thread| thread.join().expect("a thread")).collect();
        done.store(true, Ordering::Relaxed);
        drop(clients);
        neighbour.join().expect("a thread")
    });
    waits.sort_unstable();
    let served = (STORM / STORM_THREADS * STORM_THREADS) as f64;
    Storm {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_ms: (server.cpu_ms() - before) / served,
        neighbour_us: [waits[waits.len() / 2], waits[waits.len() - 1]],
    }
}
