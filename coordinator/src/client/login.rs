//! Logging in by SASL DIGEST-MD5, before anything else is said in a session.

use super::{Client, Error, Login};
use crate::sasl::Response;
use crate::wire::reply::Reply;
use crate::wire::request::Request;

impl Client {
    /// Two exchanges: the server's challenge, and its proof that it knows the password as well.
    pub(super) fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        let challenge = self.token(&[])?;
        let challenge = challenge
            .ok_or_else(|| Error::Protocol("the server offers no login by SASL".to_owned()))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::Protocol(format!("no random bytes: {error}")))?;
        let nonce = format!("{:032x}", u128::from_le_bytes(random));
        let response = Response::to(&challenge, &login.user, &login.password, &nonce)
            .map_err(|why| Error::Protocol(why.to_owned()))?;
        match self.token(&response.token())? {
            Some(proof) if response.proved_by(&proof, &login.password) => Ok(()),
            Some(_) => Err(Error::Protocol("the server does not know the password".to_owned())),
            None => Err(refused()),
        }
    }

    fn token(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.exchange(&Request::Sasl(Some(token))) {
            Ok(Reply::Token(token)) => Ok(token),
            Ok(_) => Err(Error::Protocol("a reply to SASL without a token".to_owned())),
            Err(Error::Code(_) | Error::AuthFailed { .. }) => Err(refused()),
            Err(error) => Err(error),
        }
    }
}

fn refused() -> Error {
    Error::AuthFailed { scheme: "sasl".to_owned() }
}
