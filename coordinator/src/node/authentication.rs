//! Who a connection is: the digest scheme, SASL's exchange, the subject of its certificate, and
//! whether it may ask anything before it has proved to be somebody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::client::{ConnId, Waiting};
use super::{Level, Node};
use crate::config::Security;
use crate::sasl::{Challenge, Refusal, Users};
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;
use crate::wire::request::{Auth, Request};

/// So many refused logins end a connection even where `allowSaslFailedClients` lets it stay.
const LOGINS_MAX: u32 = 3;

/// Who callers may prove to be, and what they must prove.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// `DigestAuthenticationProvider.superDigest`: `super:` and the hash.
    pub super_digest: Option<String>,
    /// Users of the JAAS file; `None` without a login section.
    pub users: Option<Users>,
    /// `superUser` and `superUser.N`: users of SASL that pass every check.
    pub super_users: Vec<String>,
    /// `X509AuthenticationProvider.superUser`: the subject that passes every check.
    pub super_subject: Option<String>,
    /// A connection must have proved one of these schemes before it is served; empty: none.
    pub required_schemes: Vec<String>,
    /// A refused login leaves the connection without an identity (`allowSaslFailedClients`).
    pub refused_may_stay: bool,
    /// Makes the nonces of this run; random, unknown to clients.
    pub nonce_key: [u8; 32],
}

impl Authentication {
    /// As configured; nonces have no key yet.
    pub fn of(security: &Security) -> Self {
        Authentication {
            users: security.users.clone(),
            super_users: security.super_users.clone(),
            super_subject: security.super_subject.clone(),
            required_schemes: security.required_schemes.clone(),
            refused_may_stay: security.refused_may_stay,
            ..Authentication::default()
        }
    }

    fn requires_sasl(&self) -> bool {
        self.required_schemes.iter().any(|scheme| scheme == "sasl")
    }
}

/// SASL's nonces: never the same twice in one run, and nothing that a client could foresee.
pub(super) struct Nonces {
    key: [u8; 32],
    count: u64,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Nonces { key, count: 0 }
    }

    fn next(&mut self) -> [u8; 32] {
        self.count += 1;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(b"sasl nonce");
        mac.update(&self.count.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// How far SASL's exchange has come on one connection.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// Sent, and not answered yet.
    challenge: Option<Challenge>,
    refused: u32,
}

impl Login {
    /// Forgets a login that was granted. Refused ones count as long as the connection lasts: with one
    /// account nobody guesses the password of another without end.
    fn granted(login: &mut Option<Box<Login>>) {
        login.take_if(|login| login.refused == 0);
    }

    /// Counts a refused login; of a connection without one it is the last.
    fn refused(login: &mut Option<Box<Login>>) -> u32 {
        login.as_deref_mut().map_or(LOGINS_MAX, |login| {
            login.refused += 1;
            login.refused
        })
    }
}

impl Node {
    /// A TLS handshake has proved the subject of a certificate, as RFC 2253 writes it.
    pub fn client_proved_subject(&mut self, conn: ConnId, subject: &str) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if !client.identity.add("x509", subject) {
            return self.log(
                Level::Warn,
                &format!("a client's subject of {} bytes is too long for ACLs", subject.len()),
            );
        }
        if self.config.authentication.super_subject.as_deref() == Some(subject) {
            client.identity.add("super", subject);
        }
    }

    /// `AuthenticationHelper.enforceAuthentication`
    pub(super) fn may_ask(&self, conn: ConnId) -> bool {
        let required = &self.config.authentication.required_schemes;
        required.is_empty()
            || self.clients.get(conn).is_some_and(|client| {
                let mut proved = client.identity.as_identity().iter();
                proved.any(|(scheme, _)| required.iter().any(|wanted| wanted == scheme))
            })
    }

    /// Op 100: `addauth`.
    pub(super) fn authenticate(&mut self, conn: ConnId, xid: i32, body: &[u8]) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let added = match Request::decode(OpCode::Auth, body) {
            Ok(Request::Auth(Auth { scheme: "digest", auth: Some(credentials), .. })) => {
                let id = digest_id(credentials);
                if Some(id.as_str()) == self.config.authentication.super_digest.as_deref() {
                    client.identity.add("super", "");
                }
                client.identity.add("digest", &id)
            }
            // Every connection holds its address already (`IPAuthenticationProvider`).
            Ok(Request::Auth(Auth { scheme: "ip", .. })) => true,
            // So does one with a certificate its subject (`X509AuthenticationProvider`).
            Ok(Request::Auth(Auth { scheme: "x509", .. })) => {
                client.identity.as_identity().iter().any(|(scheme, _)| scheme == "x509")
            }
            Ok(_) => false,
            Err(_) => return self.answer_in_turn(conn, xid, Code::MarshallingError, false),
        };
        if added {
            self.answer_in_turn(conn, xid, Code::Ok, false);
        } else {
            self.stats.auth_failed += 1;
            self.answer_in_turn(conn, xid, Code::AuthFailed, true);
        }
    }

    /// Op 102 (`ZooKeeperServer.processSasl`): the first token asks for a challenge, the second
    /// answers it.
    pub(super) fn sasl(&mut self, conn: ConnId, xid: i32, body: &[u8]) {
        let Ok(Request::Sasl(token)) = Request::decode(OpCode::Sasl, body) else {
            return self.answer_in_turn(conn, xid, Code::MarshallingError, true);
        };
        let token = token.unwrap_or_default();
        let nonce = self.nonces.next();
        // No login section: Java's client takes the missing token for a failure, and goes on.
        let Some(users) = &self.config.authentication.users else {
            return self.token_in_turn(conn, xid, Code::Ok, None, false);
        };
        let Some(client) = self.clients.get_mut(conn) else { return };
        let login = client.login.get_or_insert_default();
        let outcome = match (login.challenge.take(), token) {
            (None, []) => {
                let challenge = Challenge::new(&nonce);
                let token = challenge.token();
                login.challenge = Some(challenge);
                return self.token_in_turn(conn, xid, Code::Ok, Some(token), false);
            }
            (None, _) => Err(Refusal::Malformed("a response without a challenge")),
            (Some(challenge), token) => challenge.answer(token, users),
        };
        let outcome = outcome.and_then(|granted| {
            let added = client.identity.add("sasl", &granted.user);
            added.then_some(granted).ok_or(Refusal::Malformed("too many identities"))
        });
        match outcome {
            Ok(granted) => {
                Login::granted(&mut client.login);
                let address = client.address;
                if self.config.authentication.super_users.contains(&granted.user) {
                    client.identity.add("super", "");
                }
                self.log(Level::Info, &format!("{address} has logged in as {:?}", granted.user));
                self.token_in_turn(conn, xid, Code::Ok, Some(granted.token), false);
            }
            Err(refusal) => self.login_refused(conn, xid, refusal),
        }
    }

    fn login_refused(&mut self, conn: ConnId, xid: i32, refusal: Refusal) {
        self.stats.auth_failed += 1;
        let Some(client) = self.clients.get_mut(conn) else { return };
        let refused = Login::refused(&mut client.login);
        let address = client.address;
        self.log(Level::Warn, &format!("refusing the login of {address}: {refusal}"));
        let rules = &self.config.authentication;
        if rules.requires_sasl() {
            let code = Code::SessionClosedRequireSaslAuth;
            self.token_in_turn(conn, xid, code, None, true);
        } else if rules.refused_may_stay && refused < LOGINS_MAX {
            self.token_in_turn(conn, xid, Code::Ok, None, false);
        } else {
            self.token_in_turn(conn, xid, Code::AuthFailed, None, true);
        }
    }

    fn token_in_turn(
        &mut self,
        conn: ConnId,
        xid: i32,
        code: Code,
        token: Option<Vec<u8>>,
        close: bool,
    ) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let token = token.map(Vec::into_boxed_slice);
        client.push(Waiting::Token { xid, code, token, close });
        self.advance_client(conn);
    }
}

/// `user:base64(sha1(user:password))` (`DigestAuthenticationProvider.generateDigest`).
fn digest_id(credentials: &[u8]) -> String {
    let hash = BASE64_STANDARD.encode(Sha1::digest(credentials));
    let text = String::from_utf8_lossy(credentials);
    let user = text.split(':').next().unwrap_or_default();
    format!("{user}:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_granted_login_forgives_no_refused_one() {
        let mut login = Some(Box::default());
        Login::granted(&mut login);
        assert!(login.is_none(), "an ordinary login leaves nothing behind");
        for tries in 1..=LOGINS_MAX {
            login.get_or_insert_default();
            assert_eq!(Login::refused(&mut login), tries);
            Login::granted(&mut login);
        }
    }
}
