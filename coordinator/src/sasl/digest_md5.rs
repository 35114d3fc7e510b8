//! The server's side of DIGEST-MD5 (RFC 2831), as Java's `Sasl` and pure-sasl speak it.
//!
//! One challenge, one response, one answer that proves the server knows the password, too. A
//! [`Challenge`] is consumed by the response: its nonce is never good twice.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use super::directives::{parse, quoted};
use super::{PROTOCOL, SERVER_NAME};
use crate::bytes::hex;

/// Longest response (RFC 2831, section 2.1.2).
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Bytes behind a nonce, as many as Java's `DigestMD5Base` takes.
const NONCE_BYTES: usize = 30;

/// Who may log in. Of each password only the hash stays in memory that the exchange needs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, [u8; 16]>);

impl Users {
    /// `false`: the user is known already, and keeps the password it has.
    pub fn add(&mut self, user: &str, password: &str) -> bool {
        if self.0.contains_key(user) {
            return false;
        }
        self.0.insert(user.to_owned(), secret(user, password)).is_none()
    }

    /// As [`Users::add`], and whoever has the name already gets the new password.
    pub fn set(&mut self, user: &str, password: &str) {
        self.0.insert(user.to_owned(), secret(user, password));
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `H(user:realm:password)`, which stands for the password everywhere else.
fn secret(user: &str, password: &str) -> [u8; 16] {
    let (user, password) = (encoded(user), encoded(password));
    let parts = [&user[..], b":", SERVER_NAME.as_bytes(), b":", &password[..]];
    Md5::digest(parts.concat()).into()
}

/// Texts whose letters all fit ISO 8859-1 are hashed in that encoding even with `charset=utf-8`
/// (RFC 2831, section 2.1.2.1); Java and Cyrus do so.
fn encoded(text: &str) -> Vec<u8> {
    let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    latin.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// What the server has sent and waits to see answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    nonce: String,
}

/// A client's response, as far as it matters who it says it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub user: String,
    /// The server's own proof, for the client.
    pub token: Vec<u8>,
}

/// Why a response was refused; for the log, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no response, or not to this challenge.
    Malformed(&'static str),
    /// No such user, or not its password. The two take the same steps.
    Password,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(what) => f.write_str(what),
            Refusal::Password => f.write_str("unknown user or wrong password"),
        }
    }
}

impl Challenge {
    /// `random` must be new for each challenge and unknown to clients before.
    pub fn new(random: &[u8; 32]) -> Challenge {
        Challenge { nonce: BASE64_STANDARD.encode(&random[..NONCE_BYTES]) }
    }

    /// What the client is sent.
    pub fn token(&self) -> Vec<u8> {
        let (realm, nonce) = (quoted(SERVER_NAME), quoted(&self.nonce));
        format!("realm={realm},nonce={nonce},charset=utf-8,algorithm=md5-sess").into_bytes()
    }

    /// Judges the client's response.
    pub fn answer(self, token: &[u8], users: &Users) -> Result<Granted, Refusal> {
        let response = Response::parse(token).map_err(Refusal::Malformed)?;
        if response.nonce != self.nonce.as_bytes() {
            return Err(Refusal::Malformed("a nonce of another challenge"));
        }
        // An unknown user costs what a wrong password costs: the two cannot be told apart.
        let known = users.0.get(response.user.as_str());
        let secret = known.copied().unwrap_or_default();
        let expected = response.value(&secret, "AUTHENTICATE");
        let right = bool::from(expected.as_bytes().ct_eq(&response.proof));
        if !right || known.is_none() {
            return Err(Refusal::Password);
        }
        let token = format!("rspauth={}", response.value(&secret, "")).into_bytes();
        // The server's callback names the caller by who logged in, whatever `authzid` asks for
        // (`SaslServerCallbackHandler.handleAuthorizeCallback`).
        Ok(Granted { user: response.user, token })
    }
}

/// The parts of a response that its hash covers.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    user: String,
    nonce: Vec<u8>,
    cnonce: Vec<u8>,
    nc: Vec<u8>,
    uri: Vec<u8>,
    authzid: Option<Vec<u8>>,
    proof: Vec<u8>,
}

impl Response {
    /// Reads and checks everything that needs neither nonce nor password.
    pub fn parse(token: &[u8]) -> Result<Response, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("a response of more than 4096 bytes");
        }
        let mut given = parse(token).ok_or("no list of directives")?;
        if given.remove("realm").is_none_or(|realm| realm != SERVER_NAME.as_bytes()) {
            return Err("another realm");
        }
        let utf8 = match given.remove("charset") {
            None => false,
            Some(charset) if charset.eq_ignore_ascii_case(b"utf-8") => true,
            Some(_) => return Err("a charset other than utf-8"),
        };
        if given.remove("qop").is_some_and(|qop| qop != b"auth") {
            return Err("a protection other than auth");
        }
        let uri = given.remove("digest-uri").ok_or("no digest-uri")?;
        if !uri.eq_ignore_ascii_case(format!("{PROTOCOL}/{SERVER_NAME}").as_bytes()) {
            return Err("another service in digest-uri");
        }
        let nc = given.remove("nc").ok_or("no nonce count")?;
        if nc != b"00000001" {
            return Err("a nonce count other than 1");
        }
        let user = given.remove("username").ok_or("no username")?;
        let user = match String::from_utf8(user) {
            Ok(user) => user,
            Err(latin) if !utf8 => latin.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
            Err(_) => return Err("a username that is not UTF-8"),
        };
        let cnonce = given.remove("cnonce").filter(|c| !c.is_empty()).ok_or("no cnonce")?;
        let proof = given.remove("response").ok_or("no response")?;
        if proof.len() != 32 {
            return Err("a response that is no hash");
        }
        let nonce = given.remove("nonce").ok_or("no nonce")?;
        let authzid = given.remove("authzid");
        Ok(Response { user, nonce, cnonce, nc, uri, authzid, proof })
    }

    /// RFC 2831's response-value; the method is `AUTHENTICATE` for the client, empty for the server.
    fn value(&self, secret: &[u8; 16], method: &str) -> String {
        let mut first = [&secret[..], b":", &self.nonce, b":", &self.cnonce].concat();
        if let Some(authzid) = &self.authzid {
            first.push(b':');
            first.extend_from_slice(authzid);
        }
        let second = [method.as_bytes(), b":", &self.uri].concat();
        let (first, second) = (hex(&Md5::digest(first)), hex(&Md5::digest(second)));
        let parts =
            [first.as_bytes(), &self.nonce, &self.nc, &self.cnonce, b"auth", second.as_bytes()];
        hex(&Md5::digest(parts.join(&b':')))
    }

    /// A client's response to a challenge of ours.
    pub fn to(
        challenge: &[u8],
        user: &str,
        password: &str,
        cnonce: &str,
    ) -> Result<Response, &'static str> {
        let mut given =
            parse(challenge).ok_or("the server's challenge is no list of directives")?;
        if given.remove("realm").is_none_or(|realm| realm != SERVER_NAME.as_bytes()) {
            return Err("the server's challenge names another realm");
        }
        let nonce = given.remove("nonce").ok_or("the server's challenge has no nonce")?;
        if std::str::from_utf8(&nonce).is_err() {
            return Err("the server's nonce is no text");
        }
        let mut response = Response {
            user: user.to_owned(),
            nonce,
            cnonce: cnonce.as_bytes().to_vec(),
            nc: b"00000001".to_vec(),
            uri: format!("{PROTOCOL}/{SERVER_NAME}").into_bytes(),
            authzid: None,
            proof: Vec::new(),
        };
        let value = response.value(&secret(user, password), "AUTHENTICATE");
        response.proof = value.into_bytes();
        Ok(response)
    }

    /// The token that carries it.
    pub fn token(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "charset=utf-8,username={},realm={},nonce={},nc={},cnonce={},digest-uri={},response={},qop=auth",
            quoted(&self.user),
            quoted(SERVER_NAME),
            quoted(&text(&self.nonce)),
            text(&self.nc),
            quoted(&text(&self.cnonce)),
            quoted(&text(&self.uri)),
            text(&self.proof),
        )
        .into_bytes()
    }

    /// Whether the server's last token proves that it knows the password as well.
    pub fn proved_by(&self, token: &[u8], password: &str) -> bool {
        let expected = format!("rspauth={}", self.value(&secret(&self.user, password), ""));
        bool::from(expected.as_bytes().ct_eq(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let mut users = Users::default();
        assert!(users.add("jaasuser", "jaas_password") && users.add("müller", "größe"));
        assert!(users.add("ключ", "пароль"));
        assert!(!users.add("jaasuser", "other"));
        users
    }

    fn challenge() -> Challenge {
        Challenge::new(&[7; 32])
    }

    #[test]
    fn the_challenge_has_the_form_of_javas() {
        let text = String::from_utf8(challenge().token()).unwrap();
        assert_eq!(text.len(), 101, "as captured");
        assert!(text.starts_with("realm=\"zk-sasl-md5\",nonce=\"BwcH"), "{text}");
        assert!(text.ends_with("\",charset=utf-8,algorithm=md5-sess"), "{text}");
    }

    #[test]
    fn the_right_password_is_taken_and_proved_back() {
        for (user, password) in
            [("jaasuser", "jaas_password"), ("müller", "größe"), ("ключ", "пароль")]
        {
            let response =
                Response::to(&challenge().token(), user, password, "a \"c\\nonce").unwrap();
            let granted = challenge().answer(&response.token(), &users()).unwrap();
            assert_eq!(granted.user, user);
            assert_eq!(granted.token.len(), 40);
            assert!(response.proved_by(&granted.token, password));
            assert!(!response.proved_by(&granted.token, "other"));
            assert!(!response.proved_by(b"", password));
        }
    }

    #[test]
    fn unknown_users_and_wrong_passwords_are_refused_alike() {
        for (user, password) in [("jaasuser", "x"), ("nobody", "jaas_password"), ("nobody", "")] {
            let token = Response::to(&challenge().token(), user, password, "c").unwrap().token();
            assert_eq!(challenge().answer(&token, &users()), Err(Refusal::Password));
        }
        // The hash of zeros that stands in for an unknown user opens nothing either.
        let mut forged = Response::to(&challenge().token(), "nobody", "", "c").unwrap();
        forged.proof = forged.value(&[0; 16], "AUTHENTICATE").into_bytes();
        assert_eq!(challenge().answer(&forged.token(), &users()), Err(Refusal::Password));
    }

    #[test]
    fn a_nonce_is_good_for_its_own_challenge_alone() {
        let token = Response::to(&challenge().token(), "jaasuser", "jaas_password", "c").unwrap();
        let other = Challenge::new(&[8; 32]).answer(&token.token(), &users());
        assert!(matches!(other, Err(Refusal::Malformed(_))), "{other:?}");
    }

    /// RFC 2831's own example has another realm, so this one was computed by Python's hashlib
    /// from the formula that a capture of Apache `ZooKeeper` 3.8.0 confirmed.
    #[test]
    fn authzid_is_part_of_the_hash_and_not_of_the_identity() {
        let nonce = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
        let token = format!(
            "charset=utf-8,username=\"jaasuser\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",nc=00000001,cnonce=\"c\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=RESPONSE,qop=auth,authzid=\"other\""
        );
        let response = AUTHZID_RESPONSE;
        let granted =
            challenge().answer(token.replace("RESPONSE", response).as_bytes(), &users()).unwrap();
        assert_eq!(granted.user, "jaasuser");
        let stripped =
            token.replace("RESPONSE", response).replace(",authzid=\"other\"", "").into_bytes();
        assert_eq!(challenge().answer(&stripped, &users()), Err(Refusal::Password));
    }

    const AUTHZID_RESPONSE: &str = "45792bc15f1173e2b617faef0e4c2976";

    #[test]
    fn what_is_no_response_is_refused_with_its_reason() {
        let good = Response::to(&challenge().token(), "jaasuser", "jaas_password", "c").unwrap();
        let good = String::from_utf8(good.token()).unwrap();
        for (from, to) in [
            ("realm=\"zk-sasl-md5\",", ""),
            ("realm=\"zk-sasl-md5\"", "realm=\"other\""),
            ("qop=auth", "qop=auth-conf"),
            ("nc=00000001", "nc=00000002"),
            ("zookeeper/", "kafka/"),
            ("charset=utf-8", "charset=latin"),
            ("username=", "user="),
            ("cnonce=\"c\"", "cnonce=\"\""),
            ("response=", "response=0"),
            ("nc=", "nonce=\"x\",nc="),
        ] {
            assert!(good.contains(from), "{from} in {good}");
            let bad = good.replacen(from, to, 1);
            let refused = challenge().answer(bad.as_bytes(), &users());
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{bad}: {refused:?}");
        }
        let long = format!("{good},x=\"{}\"", "y".repeat(TOKEN_BYTES_MAX));
        assert!(challenge().answer(long.as_bytes(), &users()).is_err());
        assert!(challenge().answer(b"", &users()).is_err());
    }
}
