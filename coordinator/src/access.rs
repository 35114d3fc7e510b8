//! How commands get into secured servers: TLS and a login, by flags or by Apache's client properties.
//! No password stands in an argument or the environment: each comes from a file or a prompt.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::client::{Login, Options};
use crate::config::{ClientConfig, ClientStores, Password, StoreFile, read_line};
use crate::exit::{self, Failure};
use crate::password;
use crate::tls::{Dialler, Names, PROTOCOLS, client_config, missing_features};

/// Names the client properties where no flag does: a path, and never a secret.
const VARIABLE: &str = "COORDINATOR_CLIENT_CONFIG";

/// Flags of every command that connects.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Secured servers")]
pub struct Access {
    /// Client properties as `zkCli.sh -client-configuration` takes them [env:
    /// `COORDINATOR_CLIENT_CONFIG`]
    #[arg(long, value_name = "FILE")]
    pub client_config: Option<PathBuf>,
    /// Speak TLS, and believe servers that this store vouches for (JKS, PKCS#12 or PEM)
    #[arg(long, value_name = "FILE")]
    pub trust_store: Option<PathBuf>,
    /// Show the certificate of this store
    #[arg(long, value_name = "FILE")]
    pub key_store: Option<PathBuf>,
    /// The file with the password of both stores
    #[arg(long, value_name = "FILE")]
    pub store_password_file: Option<PathBuf>,
    /// Log in by SASL as this user; the password is asked for where no file has it
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The file with the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
}

/// What connections are made with.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    pub tls: Option<Arc<Dialler>>,
    pub login: Option<Login>,
}

impl Secured {
    /// These options, with TLS and the login.
    pub fn options(&self, mut options: Options) -> Options {
        options.tls.clone_from(&self.tls);
        options.login.clone_from(&self.login);
        options
    }
}

impl Access {
    /// Reads stores and passwords.
    pub fn open(&self) -> Result<Secured, Failure> {
        self.open_with(std::env::var_os(VARIABLE))
    }

    fn open_with(&self, variable: Option<OsString>) -> Result<Secured, Failure> {
        let wrong = |why: String| Failure::new(exit::USAGE, why);
        let named = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut config = match self.client_config.as_ref().or(named.as_ref()) {
            Some(path) => ClientConfig::load(path)
                .map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?,
            None => ClientConfig::default(),
        };
        let store = |path: &Path| StoreFile {
            path: path.to_owned(),
            password: match &self.store_password_file {
                Some(file) => Password::File(file.clone()),
                None => Password::Given(String::new()),
            },
        };
        if let Some(path) = &self.trust_store {
            let protocols = PROTOCOLS.iter().map(|(_, protocol)| *protocol).collect();
            let key_store = config.tls.take().and_then(|tls| tls.key_store);
            let trust_store = store(path);
            let names = Names::Checked;
            config.tls = Some(ClientStores { protocols, key_store, trust_store, names });
        }
        if let Some(path) = &self.key_store {
            let Some(tls) = &mut config.tls else {
                let why = "--key-store without TLS: add --trust-store with the CA of the servers";
                return Err(wrong(why.to_owned()));
            };
            tls.key_store = Some(store(path));
        }
        if let Some(user) = &self.user {
            let password = match &self.password_file {
                Some(path) => read_line(path).map_err(wrong)?,
                None => password::ask(&format!("password of {user}:")).map_err(|error| {
                    wrong(format!("cannot ask for the password: {error}; use --password-file"))
                })?,
            };
            config.login = Some((user.clone(), password));
        }
        Ok(Secured {
            tls: config.tls.as_ref().map(dialler).transpose()?,
            login: config.login.map(|(user, password)| Login { user, password }),
        })
    }
}

fn dialler(stores: &ClientStores) -> Result<Arc<Dialler>, Failure> {
    let failed = |why: String| Failure::new(exit::FAILED, why);
    let missing = missing_features();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(failed(format!("cannot speak TLS: this machine's CPU lacks {missing}")));
    }
    let key = stores.key_store.as_ref().map(StoreFile::read).transpose().map_err(failed)?;
    let trust = stores.trust_store.read().map_err(failed)?;
    let path = stores.key_store.as_ref().unwrap_or(&stores.trust_store).path.display();
    client_config(&stores.protocols, key, trust, stores.names)
        .map(Arc::new)
        .map_err(|why| failed(format!("cannot use {path}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_without_what_they_need_are_refused() {
        let key = Access { key_store: Some("k".into()), ..Access::default() };
        let refused = key.open_with(None).unwrap_err();
        assert!(refused.message.contains("add --trust-store"), "{}", refused.message);
        let named = Access::default().open_with(Some("/nowhere/client.properties".into()));
        let refused = named.unwrap_err();
        assert_eq!(refused.exit, exit::CONFIG);
        assert!(refused.message.contains("/nowhere/client.properties"), "{}", refused.message);
        let nothing = Access::default().open_with(Some("".into())).unwrap();
        assert!(nothing.tls.is_none() && nothing.login.is_none());
    }
}
