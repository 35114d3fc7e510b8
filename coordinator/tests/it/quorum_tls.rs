//! TLS between members: from plain to TLS and back, stores that change, and who is refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use coordinator::client::{Client, CreateOptions, Options, Servers};
use coordinator::tls::{Names, PROTOCOLS, Store, Tunnel, client_config};

use crate::engine::{Engine, Ensemble};
use crate::links::{serves, wait};
use crate::tls::stores;

/// Writes numbers one after the other; each that was acknowledged must be there at the end.
struct Writer {
    done: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(servers: &str) -> Writer {
        let done = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (stop, count) = (Arc::clone(&done), Arc::clone(&acknowledged));
        let options = Options { connect_timeout: Duration::from_mins(1), ..Options::default() };
        let mut zk = Client::open(Servers::parse(servers).unwrap(), options, None).unwrap();
        zk.create("/written", Some(b"0"), CreateOptions::default()).unwrap();
        let thread = std::thread::spawn(move || {
            let mut next = 1;
            while !stop.load(Ordering::SeqCst) {
                // One that was lost with a connection may have taken effect: it is written again.
                if zk.set_data("/written", Some(next.to_string().as_bytes()), -1).is_ok() {
                    count.store(next, Ordering::SeqCst);
                    next += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let (data, _) = zk.get_data("/written", false).unwrap();
            let last: u64 = String::from_utf8(data.unwrap()).unwrap().parse().unwrap();
            assert!(last >= next - 1, "{last} is there, {} was acknowledged", next - 1);
            zk.close().unwrap();
        });
        Writer { done, acknowledged, thread }
    }

    /// Until something is acknowledged that was written from now on.
    fn goes_on(&self) {
        let now = self.acknowledged.load(Ordering::SeqCst);
        wait("a write", || self.acknowledged.load(Ordering::SeqCst) > now + 1);
    }

    fn end(self) {
        self.done.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

/// A copy of a store that a member has for itself.
fn member_store(ensemble: &Ensemble, at: usize, which: &str) -> PathBuf {
    ensemble.directory().join(format!("{which}{at}.pem"))
}

fn install(ensemble: &Ensemble, at: usize, which: &str, parts: &[&str]) {
    let bytes: Vec<u8> =
        parts.iter().flat_map(|part| fs::read(stores().join(part)).unwrap()).collect();
    let path = member_store(ensemble, at, which);
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn name_stores(ensemble: &Ensemble, at: usize) {
    install(ensemble, at, "key", &["server-all.pem"]);
    install(ensemble, at, "trust", &["ca.pem"]);
    let key = member_store(ensemble, at, "key");
    let trust = member_store(ensemble, at, "trust");
    ensemble.add_keys(
        at,
        &[
            format!("ssl.quorum.keyStore.location={}", key.display()),
            format!("ssl.quorum.trustStore.location={}", trust.display()),
        ],
    );
}

fn speak(ensemble: &Ensemble, at: usize, quorum: bool, unified: bool) {
    let keys = [format!("sslQuorum={quorum}"), format!("portUnification={unified}")];
    ensemble.add_keys(at, &keys);
}

fn restart(ensemble: &mut Ensemble, at: usize) {
    ensemble.kill(at);
    ensemble.start_server(at);
    ensemble.wait_until_serving(at);
}

/// Three members that speak TLS alone.
pub(crate) fn secured(test: &str) -> Ensemble {
    let mut ensemble = Ensemble::prepare(Engine::Ours, test, 3);
    for at in 0..3 {
        name_stores(&ensemble, at);
        speak(&ensemble, at, true, false);
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    ensemble
}

/// The rolling procedure of Apache's administrator's guide, and the same backwards.
#[test]
fn from_plain_to_tls_and_back_by_rolling_restarts_under_a_writer() {
    let mut ensemble = Ensemble::start(Engine::Ours, "quorum_tls", 3);
    let writer = Writer::start(&ensemble.addresses());
    for at in 0..3 {
        name_stores(&ensemble, at);
    }
    let steps =
        [(false, true), (true, true), (true, false), (true, true), (false, true), (false, false)];
    for (quorum, unified) in steps {
        for at in 0..3 {
            let from = ensemble.log(at).len();
            speak(&ensemble, at, quorum, unified);
            restart(&mut ensemble, at);
            writer.goes_on();
            let by = if quorum { " by TLS" } else { "\n" };
            let other = if at == 0 { 2 } else { 1 };
            ensemble.wait_for_log(at, from, &format!("linked to server {other}{by}"));
        }
        // What the port takes now, by a plain stranger and by one that speaks TLS.
        let plain = !quorum || unified;
        let secure = quorum || unified;
        assert_eq!(answers_plain(&ensemble.quorum_address(0)), plain, "{quorum} {unified}");
        let election = format!("127.0.0.1:{}", ensemble.election_port(0));
        for port in [ensemble.quorum_address(0), election] {
            assert_eq!(answers_tls(&port), secure, "{quorum} {unified}");
        }
    }
    writer.end();
}

/// Whether a plain stranger may go on after its first bytes; where TLS is demanded it is hung up on.
fn answers_plain(port: &str) -> bool {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(&[72, 0, 0, 0]).unwrap();
    stream.read_to_end(&mut Vec::new()).is_err()
}

fn answers_tls(port: &str) -> bool {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let store = |name: &str| Store::read(&fs::read(stores().join(name)).unwrap(), "").unwrap();
    let protocols: Vec<_> = PROTOCOLS.iter().map(|(_, protocol)| *protocol).collect();
    let key = Some(store("server-all.pem"));
    let dialler = client_config(&protocols, key, store("ca.pem"), Names::Checked).unwrap();
    Tunnel::shake(dialler.dial("localhost").unwrap(), &mut stream).is_ok()
}

#[test]
fn certificates_and_their_ca_rotate_without_losing_the_quorum() {
    let mut ensemble = secured("quorum_rotation");
    let writer = Writer::start(&ensemble.addresses());
    let again = "the TLS stores of members are read again";
    let steps: [(&str, &[&str]); 3] = [
        ("trust", &["ca.pem", "foreign.pem"]),
        ("key", &["moved.pem", "moved.key"]),
        ("trust", &["foreign.pem"]),
    ];
    for (which, parts) in steps {
        for at in 0..3 {
            let from = ensemble.log(at).len();
            install(&ensemble, at, which, parts);
            ensemble.wait_for_log(at, from, again);
            writer.goes_on();
        }
        // New connections, made with what was read without a restart on the two other members.
        let at = (ensemble.leader() + 1) % 3;
        restart(&mut ensemble, at);
        writer.goes_on();
    }
    // The old certificate gets nobody in any more.
    install(&ensemble, 0, "key", &["server-all.pem"]);
    let from = ensemble.log(0).len();
    ensemble.kill(0);
    ensemble.start_server(0);
    ensemble.wait_for_log(0, from, "it refuses this server's TLS or certificate");
    writer.goes_on();
    assert!(!serves(ensemble.address(0)));
    // A store that cannot be read leaves the old one in use.
    let from = ensemble.log(1).len();
    fs::write(member_store(&ensemble, 1, "key"), "no store").unwrap();
    ensemble.wait_for_log(1, from, "cannot be read again, the old ones stay");
    install(&ensemble, 0, "key", &["moved.pem", "moved.key"]);
    restart(&mut ensemble, 0);
    writer.end();
}

#[test]
fn members_with_certificates_of_others_are_refused_by_name_and_reason() {
    let mut ensemble = secured("quorum_refused");
    let writer = Writer::start(&ensemble.addresses());
    let cases: [(&[&str], &str, &str); 4] = [
        (&["expired-all.pem"], "no link to server 3", "its certificate is refused: "),
        (&["stranger.pem", "stranger.key"], "no link to server 3", "UnknownIssuer"),
        (&["v1.pem", "v1.key"], "server 3 is refused", "`CN=v1,O=Acme`, is not for 127.0.0.1"),
        (
            &["serveronly.pem", "serveronly.key"],
            "TLS handshakes of the quorum port",
            "InvalidPurpose",
        ),
    ];
    for (parts, whom, why) in cases {
        ensemble.kill(2);
        install(&ensemble, 2, "key", parts);
        let from = ensemble.log(0).len();
        ensemble.start_server(2);
        ensemble.wait_for_log(0, from, why);
        ensemble.wait_for_log(0, from, whom);
        writer.goes_on();
        assert!(!serves(ensemble.address(2)), "{parts:?}");
    }
    // The refused one knows why, too.
    assert!(ensemble.log(2).contains("it refuses this server's TLS or certificate"));
    // Names are the operator's choice.
    ensemble.kill(2);
    install(&ensemble, 2, "key", &["v1.pem", "v1.key"]);
    for at in [0, 1, 2] {
        ensemble.add_key(at, "ssl.quorum.hostnameVerification=false");
        restart(&mut ensemble, at);
    }
    writer.end();
}

/// One that speaks plainly where TLS is demanded, and one that speaks TLS where nobody does.
#[test]
fn who_speaks_otherwise_is_told_so() {
    let mut ensemble = secured("quorum_mixed");
    ensemble.kill(2);
    let from = ensemble.log(0).len();
    speak(&ensemble, 2, false, false);
    ensemble.start_server(2);
    ensemble.wait_for_log(0, from, "it does not speak TLS");
    ensemble.wait_for_log(2, 0, "it speaks TLS, which this server does not");
}
