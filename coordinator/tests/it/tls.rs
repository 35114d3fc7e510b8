//! TLS without sockets: the stores that keytool and OpenSSL wrote (`tests/tls/make`), and who is let
//! in by whom, client and server of ours in one thread.

use std::path::{Path, PathBuf};

use coordinator::tls::{
    ClientAuth, Context, Names, PROTOCOLS, Session, Settings, Store, StoreError, client_config,
    subject,
};

pub(crate) fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/stores")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(stores().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn store(name: &str) -> Store {
    Store::read(&bytes(name), "secret").unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A certificate and its key, as they lie in two files.
fn pair(name: &str) -> Store {
    let both = [bytes(&format!("{name}.pem")), bytes(&format!("{name}.key"))].concat();
    Store::read(&both, "").unwrap()
}

#[test]
fn stores_of_keytool_and_openssl_are_read() {
    for (name, chain, trusted) in [
        ("server.jks", 2, 0),
        ("server.p12", 2, 0),
        ("legacy.p12", 2, 0),
        ("client.jks", 2, 0),
        ("expired.p12", 1, 0),
        ("server-all.pem", 2, 2),
        ("server-encrypted.pem", 1, 1),
        ("server-pkcs1.pem", 1, 1),
        ("ecdsa.pem", 0, 1),
        ("trust.jks", 0, 2),
        ("trust.p12", 0, 1),
        // Java sees no trusted certificate in it either.
        ("untrusted.p12", 0, 0),
    ] {
        let store = store(name);
        assert_eq!(store.key.as_ref().map_or(0, |(_, chain)| chain.len()), chain, "{name}");
        assert_eq!(store.trusted.len(), trusted, "{name}");
    }
    let printed = store("server.jks").key.map(|(_, chain)| subject(&chain[0]).unwrap());
    assert_eq!(printed.unwrap(), "CN=localhost,OU=Kafka,O=Acme\\, Inc.,ST=Berlin,C=DE");
}

#[test]
fn wrong_passwords_and_damage_are_told_apart_from_nothing_else() {
    for name in ["server.jks", "server.p12", "legacy.p12", "trust.jks", "server-encrypted.pem"] {
        for password in ["", "Secret", "secret "] {
            let refused = Store::read(&bytes(name), password).unwrap_err();
            assert_eq!(refused, StoreError::Password, "{name} with `{password}`");
        }
    }
    for (contents, expected) in [
        (&b""[..], StoreError::Unknown),
        (b"secureClientPort=2281", StoreError::Unknown),
        (b"\xfe\xed\xfe\xed", StoreError::Malformed("cut off")),
    ] {
        assert_eq!(Store::read(contents, "secret").unwrap_err(), expected);
    }
    // Cut anywhere and changed anywhere: an answer, never a panic.
    for name in ["server.jks", "server.p12", "legacy.p12", "trust.p12", "server-pkcs1.pem"] {
        let whole = bytes(name);
        for at in (0..whole.len()).step_by(151) {
            let _ = Store::read(&whole[..at], "secret");
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            let _ = Store::read(&changed, "secret");
        }
    }
}

fn settings(client_auth: ClientAuth, versions: &[&str]) -> Settings {
    let protocols = PROTOCOLS.iter().filter(|(name, _)| versions.contains(name));
    Settings {
        protocols: protocols.map(|(_, version)| *version).collect(),
        suites: None,
        client_auth,
    }
}

/// Bytes to and fro until both are silent. The error is the server's, else the client's.
fn shake(client: &mut Session, server: &mut Session) -> Result<(), String> {
    for _ in 0..10 {
        let mut plain = Vec::new();
        let mut wire = Vec::new();
        while client.has_output() {
            client.send(&mut wire).unwrap();
        }
        server.receive(&wire, &mut plain).map_err(|error| format!("server: {error}"))?;
        wire.clear();
        while server.has_output() {
            server.send(&mut wire).unwrap();
        }
        client.receive(&wire, &mut plain).map_err(|error| format!("client: {error}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn meet(
    server_key: Store,
    server_trust: &[&str],
    client_key: Option<Store>,
    client_trust: &[&str],
    auth: ClientAuth,
    version: &str,
) -> Result<(Session, Session), String> {
    let trust = |names: &[&str]| Store {
        key: None,
        trusted: names.iter().flat_map(|name| store(name).trusted).collect(),
    };
    let context = Context::new(&settings(auth, &[version]), server_key, Some(trust(server_trust)))?;
    let all: Vec<_> = PROTOCOLS.iter().map(|(_, version)| *version).collect();
    let dialler = client_config(&all, client_key, trust(client_trust), Names::Checked)?;
    let mut client = dialler.dial("localhost")?;
    let mut server = context.accept()?;
    shake(&mut client, &mut server)?;
    Ok((client, server))
}

/// Server, what it trusts, client, what is asked of it; the subject seen, or why it is refused.
type Case = (&'static str, &'static [&'static str], Option<&'static str>, ClientAuth, Outcome);
type Outcome = Result<Option<&'static str>, &'static str>;

#[test]
fn who_is_let_in() {
    let need = ClientAuth::Need;
    let cases: [Case; 14] = [
        (
            "server",
            &["ca.pem"],
            Some("client"),
            need,
            Ok(Some("CN=broker one,O=Acme\\, Inc.,C=DE")),
        ),
        ("server", &["ca.pem"], Some("v1"), need, Ok(Some("CN=v1,O=Acme"))),
        ("server", &["ca.pem"], Some("ecdsa"), need, Ok(Some("CN=ecdsa"))),
        ("server", &["selfca.pem"], Some("selfca"), need, Ok(Some("CN=selfca"))),
        ("server", &["ca.pem", "selfplain.pem"], Some("selfplain"), need, Ok(Some("CN=selfplain"))),
        ("v1", &["ca.pem"], None, ClientAuth::None, Err("NotValidForName")),
        ("ecdsa", &["ca.pem"], None, ClientAuth::None, Ok(None)),
        ("server", &["ca.pem"], None, ClientAuth::Want, Ok(None)),
        ("server", &["ca.pem"], None, need, Err("peer sent no certificates")),
        ("server", &["ca.pem"], Some("stranger"), need, Err("UnknownIssuer")),
        ("server", &["ca.pem"], Some("stranger"), ClientAuth::Want, Err("UnknownIssuer")),
        ("server", &["foreign.pem"], Some("v1"), need, Err("UnknownIssuer")),
        // What a trusted certificate signs that is no authority's is not trusted.
        ("server", &["ca.pem", "selfplain.pem"], Some("forged"), need, Err("UnknownIssuer")),
        ("server", &["ca.pem"], Some("serveronly"), need, Err("InvalidPurpose")),
    ];
    for (server, trust, client, auth, expected) in cases {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let client_key = client.map(pair);
            let met = meet(pair(server), trust, client_key, &["ca.pem"], auth, version);
            let case = format!("{client:?} to {server} that trusts {trust:?}, {auth:?}, {version}");
            match (met, expected) {
                (Ok((_, server)), Ok(subject)) => {
                    assert_eq!(server.peer_subject().as_deref(), subject, "{case}");
                }
                (Err(refused), Err(why)) => {
                    assert!(refused.contains(why), "{case}: {refused}");
                }
                (Ok(_), Err(why)) => panic!("{case}: let in, not {why}"),
                (Err(refused), Ok(_)) => panic!("{case}: {refused}"),
            }
        }
    }
}

#[test]
fn an_expired_certificate_is_refused_even_where_it_is_trusted() {
    let trust = Store {
        key: None,
        trusted: store("expired.p12")
            .key
            .unwrap()
            .1
            .into_iter()
            .chain(store("ca.pem").trusted)
            .collect(),
    };
    let settings = settings(ClientAuth::Need, &["TLSv1.3"]);
    let context = Context::new(&settings, pair("server"), Some(trust)).unwrap();
    let all: Vec<_> = PROTOCOLS.iter().map(|(_, version)| *version).collect();
    let key = Some(store("expired.p12"));
    let dialler = client_config(&all, key, store("ca.pem"), Names::Checked).unwrap();
    let (mut client, mut server) = (dialler.dial("localhost").unwrap(), context.accept().unwrap());
    let refused = shake(&mut client, &mut server).unwrap_err();
    assert!(refused.contains("Expired"), "{refused}");
}

#[test]
fn bytes_go_both_ways_and_the_end_is_seen() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let (mut client, mut server) = meet(
            store("server.jks"),
            &["trust.jks"],
            Some(store("client.p12")),
            &["trust.p12"],
            ClientAuth::Need,
            version,
        )
        .unwrap();
        let message: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let (mut sent, mut received) = (0, Vec::new());
        while sent < message.len() {
            let taken = client.encrypt(&message[sent..]);
            assert!(taken > 0 && taken <= 64 << 10, "what waits is bounded: {taken}");
            sent += taken;
            let mut wire = Vec::new();
            while client.has_output() {
                client.send(&mut wire).unwrap();
            }
            for part in wire.chunks(1000) {
                assert!(!server.receive(part, &mut received).unwrap().ended);
            }
        }
        assert!(received == message, "{version}");
        client.finish();
        let mut wire = Vec::new();
        client.send(&mut wire).unwrap();
        assert!(server.receive(&wire, &mut received).unwrap().ended);
    }
}

#[test]
fn a_context_says_which_store_lacks_what() {
    let need = settings(ClientAuth::Need, &["TLSv1.2"]);
    for (key, trust, expected) in [
        ("trust.jks", "trust.jks", "has no private key"),
        ("server.jks", "server.jks", "no trusted certificate"),
        ("server.jks", "untrusted.p12", "-jdktrust"),
    ] {
        let refused = Context::new(&need, store(key), Some(store(trust))).err().unwrap();
        assert!(refused.contains(expected), "{refused}");
    }
    let mut mixed = pair("server");
    mixed.key.as_mut().unwrap().1 = store("client.pem").trusted;
    let refused = Context::new(&need, mixed, Some(store("trust.jks"))).err().unwrap();
    assert!(refused.contains("does not belong"), "{refused}");
}

#[test]
fn garbage_and_other_protocols_end_a_session() {
    let settings = settings(ClientAuth::Need, &["TLSv1.2", "TLSv1.3"]);
    let context = Context::new(&settings, pair("server"), Some(store("ca.pem"))).unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0, 0, 0, 44, 0, 0, 0, 0],
        &[0x16, 3, 1, 0xff, 0xff, 1, 0, 0, 0, 0],
        &[0x16, 3, 1, 0, 5, 1, 0xff, 0xff, 0xff, 0],
        &[0x80, 0x2e, 1, 0, 2],
    ] {
        let mut session = context.accept().unwrap();
        assert!(session.receive(bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        assert!(session.is_handshaking());
    }
}
