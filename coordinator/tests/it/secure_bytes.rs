//! Arbitrary bytes for the pure half of TLS and SASL: stores, certificates, records, logins, JAAS
//! files. Shared by the tests and the fuzzer; `whole` at the root of both is the coordinator's library.

use std::sync::OnceLock;

use crate::whole::sasl::{Challenge, Response, TOKEN_BYTES_MAX, Users, client_login, server_users};
use crate::whole::tls::{
    ClientAuth, Context, Dialler, Names, PROTOCOLS, Session, Settings, Store, client_config,
    covers, subject,
};

/// How many kinds of input there are.
pub(crate) const KINDS: u8 = 6;

const STORE: &[u8] = include_bytes!("../tls/stores/server-all.pem");

/// Both sides of handshakes, made once.
fn sides() -> &'static (Context, Dialler) {
    static SIDES: OnceLock<(Context, Dialler)> = OnceLock::new();
    SIDES.get_or_init(|| {
        let store = || Store::read(STORE, "").expect("a store of ours");
        let protocols: Vec<_> = PROTOCOLS.iter().map(|(_, protocol)| *protocol).collect();
        let settings =
            Settings { protocols: protocols.clone(), suites: None, client_auth: ClientAuth::Need };
        let context = Context::new(&settings, store(), Some(store())).expect("a context");
        let dialler = client_config(&protocols, Some(store()), store(), Names::Checked);
        (context, dialler.expect("a dialler"))
    })
}

/// What a client says first.
fn client_hello() -> Vec<u8> {
    let mut session = sides().1.dial("localhost").expect("a name");
    let mut hello = Vec::new();
    session.send(&mut hello).expect("a vector takes all");
    hello
}

/// What a server says to it.
fn server_flight() -> Vec<u8> {
    let (mut session, mut plain, mut flight) =
        (sides().0.accept().unwrap(), Vec::new(), Vec::new());
    session.receive(&client_hello(), &mut plain).expect("a hello");
    while session.has_output() {
        session.send(&mut flight).expect("a vector takes all");
    }
    flight
}

/// Real inputs, each behind the byte that says what it is. Stores without a cipher: a password's
/// rounds would be what is tested.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let certificate = Store::read(STORE, "").expect("a store of ours").trusted.remove(0);
    let challenge = Challenge::new(&[7; 32]).token();
    let response = Response::to(&challenge, "alice", "queen", "cnonce").expect("a challenge");
    let jaas = b"Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
                 user_a=\"b\\n\\051\"; }; /* c */ Client { x.Y required username='a'; };";
    let seeds: [(u8, &[u8]); 10] = [
        (0, STORE),
        (0, include_bytes!("../tls/stores/server-pkcs1.pem")),
        (0, include_bytes!("../tls/stores/ca.pem")),
        (1, certificate.as_ref()),
        (2, &client_hello()),
        (3, &client_hello()),
        (3, &server_flight()),
        (4, &challenge),
        (4, &response.token()),
        (5, jaas),
    ];
    seeds.iter().map(|(kind, bytes)| [&[*kind], *bytes].concat()).collect()
}

/// The first byte says what the others are.
pub(crate) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % KINDS {
        0 => drop(Store::read(bytes, "secret")),
        1 => {
            let _ = subject(bytes);
            let named = covers(bytes, "localhost");
            assert!(!named || !covers(bytes, ""), "no certificate is for everybody");
        }
        2 => receive(sides().0.accept().expect("a session"), bytes),
        3 => receive(sides().1.dial("localhost").expect("a name"), bytes),
        4 => log_in(bytes),
        _ => {
            drop(server_users(bytes, "Server"));
            drop(client_login(bytes, "Client"));
        }
    }
}

/// In two parts. Nobody is let in by bytes alone.
fn receive(mut session: Session, bytes: &[u8]) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut plain = Vec::new();
    for part in [first, second] {
        if session.receive(part, &mut plain).is_err() {
            break;
        }
    }
    assert!(session.is_handshaking() && plain.is_empty(), "nothing is said before the handshake");
    // The alert, or the answer to a hello.
    let mut out = Vec::new();
    while session.has_output() {
        session.send(&mut out).expect("a vector takes all");
    }
}

fn log_in(bytes: &[u8]) {
    let mut users = Users::default();
    users.add("alice", "wonderland");
    // Who does not know the password is let in by no bytes.
    assert!(Challenge::new(&[7; 32]).answer(bytes, &users).is_err());
    // A server's challenge: what is answered to it can be read.
    if let Ok(response) = Response::to(bytes, "alice", "wonderland", "cnonce") {
        let token = response.token();
        let read = Response::parse(&token);
        assert!(read.is_ok_and(|read| read == response) || token.len() > TOKEN_BYTES_MAX);
    }
}
