//! A server where nothing is spoken in the clear: the commands that reach it, the ports of operators,
//! and whom it turns away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coordinator::client::{Client, Error, Login, Options, Servers, word_over};
use coordinator::tls::{Dialler, Names, PROTOCOLS, Store, Tunnel, client_config};
use coordinator::wire::request::Reconfig;

use crate::engine::{Engine, Ensemble, free_ports};
use crate::links::wait;
use crate::tls::stores;

const JAAS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required \
                    user_alice=\"wonderland\"; };";

/// One server, with the ports beside its own and what connects to them.
struct Secured {
    ensemble: Ensemble,
    secure: String,
    admin: String,
    metrics: String,
}

impl Secured {
    fn start(test: &str) -> Secured {
        let mut ensemble = Ensemble::prepare(Engine::Ours, test, 1);
        let ports = free_ports(3);
        let jaas = ensemble.directory().join("jaas.conf");
        fs::write(&jaas, JAAS).unwrap();
        let lines = [
            format!("secureClientPort={}", ports[0]),
            "secureClientPortAddress=127.0.0.1".to_owned(),
            key("ssl.keyStore.location", "server.jks"),
            "ssl.keyStore.password=secret".to_owned(),
            key("ssl.trustStore.location", "trust.p12"),
            "ssl.trustStore.password=secret".to_owned(),
            format!("coordinator.jaasFile={}", jaas.display()),
            "admin.enableServer=true".to_owned(),
            format!("admin.serverPort={}", ports[1]),
            "admin.serverAddress=127.0.0.1".to_owned(),
            "admin.forceHttps=true".to_owned(),
            key("ssl.quorum.keyStore.location", "server-all.pem"),
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider".to_owned(),
            format!("metricsProvider.httpsPort={}", ports[2]),
            "metricsProvider.httpHost=127.0.0.1".to_owned(),
            key("metricsProvider.ssl.keyStore.location", "server-all.pem"),
            key("metricsProvider.ssl.trustStore.location", "ca.pem"),
        ];
        ensemble.add_keys(0, &lines);
        ensemble.start_server(0);
        ensemble.wait_until_serving(0);
        let at = |port: u16| format!("127.0.0.1:{port}");
        Secured { ensemble, secure: at(ports[0]), admin: at(ports[1]), metrics: at(ports[2]) }
    }
}

fn key(key: &str, store: &str) -> String {
    format!("{key}={}", stores().join(store).display())
}

fn dialler(key: Option<&str>) -> Arc<Dialler> {
    let store =
        |name: &str| Store::read(&fs::read(stores().join(name)).unwrap(), "secret").unwrap();
    let protocols: Vec<_> = PROTOCOLS.iter().map(|(_, protocol)| *protocol).collect();
    let dialler = client_config(&protocols, key.map(store), store("ca.pem"), Names::Checked);
    Arc::new(dialler.unwrap())
}

fn coordinator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(directory: &Path, name: &str, contents: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, contents).unwrap();
    path
}

#[test]
fn commands_reach_a_secured_server_by_flags_and_by_apaches_client_properties() {
    let secured = Secured::start("commands_secured");
    let directory = secured.ensemble.directory();
    let password = write(directory, "password", "secret\n");
    let word = write(directory, "word", "wonderland\n");
    let login = write(
        directory,
        "client-jaas.conf",
        "Client { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
         username=\"alice\" password=\"wonderland\"; };",
    );
    let properties = write(
        directory,
        "client.properties",
        &[
            "zookeeper.client.secure=true",
            "zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
            &key("zookeeper.ssl.keyStore.location", "client.p12"),
            &format!("zookeeper.ssl.keyStore.passwordPath={}", password.display()),
            &key("zookeeper.ssl.trustStore.location", "trust.p12"),
            "zookeeper.ssl.trustStore.password=secret",
            &format!("java.security.auth.login.config={}", login.display()),
        ]
        .join("\n"),
    );
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let by_properties = vec!["--client-config".to_owned(), path(&properties)];
    let by_flags = vec![
        "--trust-store".to_owned(),
        path(&stores().join("trust.p12")),
        "--key-store".to_owned(),
        path(&stores().join("client.p12")),
        "--store-password-file".to_owned(),
        path(&password),
        "--user".to_owned(),
        "alice".to_owned(),
        "--password-file".to_owned(),
        path(&word),
    ];
    for flags in [&by_properties, &by_flags] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let run = |words: &[&str], after: &[&str]| {
            let server = ["--server", &secured.secure];
            let output = coordinator(&[words, &server, &flags[..], after].concat());
            assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
            text(&output.stdout)
        };
        let status = run(&["status", "--probe"], &[]);
        assert!(status.contains("standalone"), "{status}");
        assert!(status.contains("written, read and deleted"), "{status}");
        let who = run(&["shell"], &["whoami"]);
        assert!(who.contains("sasl: alice"), "{who}");
        assert!(who.contains("x509: CN=broker one"), "{who}");
        run(&["brokers"], &[]);
    }
    // The variable names the properties where no flag does.
    let output = Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(["status", "--server", &secured.secure])
        .env("COORDINATOR_CLIENT_CONFIG", &properties)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Without TLS, with another host's name, with a wrong password: a reason each.
    let ca = path(&stores().join("ca.pem"));
    let foreign = path(&stores().join("foreign.pem"));
    let key = path(&stores().join("client.p12"));
    let wrong = path(&write(directory, "wrong", "alice\n"));
    let (word, secret) = (path(&word), path(&password));
    for (arguments, why) in [
        (vec![], "speaks TLS on this port"),
        (vec!["--trust-store", &ca], "CertificateRequired"),
        (vec!["--trust-store", &foreign], "UnknownIssuer"),
        (
            vec![
                "--trust-store",
                &ca,
                "--key-store",
                &key,
                "--store-password-file",
                &secret,
                "--user",
                "alice",
                "--password-file",
                &wrong,
            ],
            "refused the credentials of scheme `sasl`",
        ),
        (
            vec!["--trust-store", &ca, "--key-store", &key, "--store-password-file", &word],
            "password",
        ),
    ] {
        let words = ["shell", "--server", &secured.secure, "--connect-timeout-ms", "500"];
        // On a busy machine a handshake may take longer than there is time.
        wait(why, || {
            let output = coordinator(&[&words[..], &arguments, &["ls", "/"]].concat());
            assert!(!output.status.success(), "{arguments:?}");
            text(&output.stderr).contains(why)
        });
    }
}

#[test]
fn a_login_comes_back_with_every_connection() {
    let mut secured = Secured::start("login_again");
    let login = Login { user: "alice".to_owned(), password: "wonderland".to_owned() };
    let options = Options {
        tls: Some(dialler(Some("client.jks"))),
        login: Some(login),
        ..Options::default()
    };
    let servers = Servers::parse(&secured.secure).unwrap();
    let mut zk = Client::open(servers.clone(), options.clone(), None).unwrap();
    let session = zk.session();
    for _ in 0..3 {
        let identities = zk.who_am_i().unwrap();
        let named = |scheme: &str| identities.iter().any(|(named, _)| named == scheme);
        assert!(named("sasl") && named("x509"), "{identities:?}");
        zk.disconnect();
    }
    assert_eq!(zk.session(), session);
    // Where who is refused may stay, nobody goes on as someone else than he asked for.
    let jaas = secured.ensemble.directory().join("jaas.conf");
    fs::write(&jaas, JAAS.replace("wonderland", "changed")).unwrap();
    secured.ensemble.kill(0);
    secured.ensemble.add_keys(0, &["allowSaslFailedClients=true".to_owned()]);
    secured.ensemble.start_server(0);
    secured.ensemble.wait_until_serving(0);
    for _ in 0..2 {
        let refused = zk.exists("/", false);
        assert!(matches!(refused, Err(Error::AuthFailed { .. })), "{refused:?}");
    }
    let login = Login { user: "alice".to_owned(), password: "queen".to_owned() };
    let refused = Client::open(servers, Options { login: Some(login), ..options }, None);
    assert!(matches!(refused, Err(Error::AuthFailed { scheme }) if scheme == "sasl"));
}

/// `GET` by HTTPS; what the server says.
fn get(address: &str, path: &str, key: Option<&str>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut tunnel = Tunnel::shake(dialler(key).dial("127.0.0.1").unwrap(), &mut stream)?;
    let mut talk = tunnel.over(&mut stream);
    write!(talk, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    talk.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn ports_of_operators_speak_https() {
    let secured = Secured::start("https");
    let answer = get(&secured.admin, "/commands/ruok", None).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("Strict-Transport-Security: max-age=86400"), "{answer}");
    assert!(answer.contains("\"command\""), "{answer}");
    // Prometheus shows a certificate, or learns nothing.
    let answer = get(&secured.metrics, "/metrics", Some("client.jks")).unwrap();
    assert!(answer.contains("\nuptime "), "{answer}");
    assert!(get(&secured.metrics, "/metrics", None).is_err());
    // Not in the clear.
    for port in [&secured.admin, &secured.metrics] {
        let mut stream = TcpStream::connect(port).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /commands/ruok HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // an alert, and the end
        assert!(!text(&answer).contains("HTTP"), "{}", text(&answer));
    }
}

/// Whoever never finishes a handshake, or speaks nonsense, is nobody's trouble; stores are read anew
/// beside them.
#[test]
fn hostile_handshakes_and_changing_stores_trouble_no_client() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "hostile_tls", 1);
    let port = free_ports(1)[0];
    let secure = format!("127.0.0.1:{port}");
    let store = ensemble.directory().join("server.pem");
    fs::create_dir_all(ensemble.directory()).unwrap();
    fs::copy(stores().join("server-all.pem"), &store).unwrap();
    ensemble.add_keys(
        0,
        &[
            format!("secureClientPort={port}"),
            format!("ssl.keyStore.location={}", store.display()),
            key("ssl.trustStore.location", "ca.pem"),
        ],
    );
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
    let options = Options { tls: Some(dialler(Some("client.p12"))), ..Options::default() };
    let servers = Servers::parse(&secure).unwrap();
    let mut zk = Client::open(servers, options, None).unwrap();
    let mut hostile = Vec::new();
    let words: [&[u8]; 5] = [
        b"",
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 3, 0x40, 0xff],
    ];
    for round in 0..400 {
        let mut stream = TcpStream::connect(&secure).unwrap();
        let _ = stream.write_all(words[round % words.len()]);
        hostile.push(stream);
        if round % 40 == 0 {
            assert!(zk.exists("/", false).unwrap().is_some());
            let ok = word_over(
                Some(&dialler(Some("client.p12"))),
                &secure,
                "ruok",
                Duration::from_secs(10),
            );
            assert_eq!(ok.unwrap(), "imok");
        }
    }
    let from = ensemble.log(0).len();
    fs::write(&store, "-----BEGIN CERTIFICATE-----\nnone").unwrap();
    ensemble.wait_for_log(0, from, "cannot be read again, the old ones stay");
    assert!(zk.exists("/", false).unwrap().is_some());
    // Another certificate, by another CA: who trusts the old one alone is told nothing by it.
    let from = ensemble.log(0).len();
    let moved = ["moved.pem", "moved.key"].map(|part| fs::read(stores().join(part)).unwrap());
    fs::write(&store, moved.concat()).unwrap();
    ensemble.wait_for_log(0, from, "are read again");
    let again =
        word_over(Some(&dialler(Some("client.p12"))), &secure, "ruok", Duration::from_secs(10));
    assert!(again.unwrap_err().to_string().contains("UnknownIssuer"));
    assert!(zk.exists("/", false).unwrap().is_some(), "open connections stay");
    wait("the end of them", || ensemble.log(0).contains("have failed"));
    drop(hostile);
    zk.close().unwrap();
}

/// A client port that clients move speaks there what it spoke before.
#[test]
fn a_moved_client_port_goes_on_to_take_both() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "moved_port", 3);
    let moved = free_ports(1)[0];
    let member = |at: usize, client: &str| {
        let (quorum, election) = (ensemble.quorum_address(at), ensemble.election_port(at));
        format!("server.{}={quorum}:{election}:participant;{client}", at + 1)
    };
    let lines: Vec<String> = (0..3).map(|at| member(at, ensemble.address(at))).collect();
    let joining = member(0, &format!("127.0.0.1:{moved}"));
    for at in 0..3 {
        let mut keys = lines.clone();
        keys.extend([
            "reconfigEnabled=true".to_owned(),
            // super:test
            "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="
                .to_owned(),
            "client.portUnification=true".to_owned(),
            key("ssl.keyStore.location", "server-all.pem"),
            key("ssl.trustStore.location", "ca.pem"),
        ]);
        ensemble.add_keys(at, &keys);
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    let tls = dialler(Some("client.p12"));
    let both = |address: &str| {
        let patience = Duration::from_secs(5);
        let ask = |tls| word_over(tls, address, "ruok", patience).is_ok_and(|said| said == "imok");
        ask(None) && ask(Some(&*tls))
    };
    wait("both at the first port", || both(ensemble.address(0)));
    let mut zk = Client::connect(ensemble.address(1)).unwrap();
    zk.add_auth("digest", b"super:test").unwrap();
    let request =
        Reconfig { joining: Some(&joining), leaving: None, new_members: None, config_id: -1 };
    wait("the first list", || zk.reconfig(request).is_ok());
    wait("both at the second port", || both(&format!("127.0.0.1:{moved}")));
    assert!(TcpStream::connect(ensemble.address(0)).is_err(), "nobody listens there any more");
    zk.close().unwrap();
}
