//! The authority and the passwords of an ensemble: given by the inventory, kept by an earlier run, or made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use coordinator::tls::request;

use crate::artifacts::collect::read_secret;
use crate::artifacts::kept::{Kept, read_own};
use crate::artifacts::secret;
use crate::certificates::{Authority, Trust, Wanted, due, issue};
use crate::failure::Failure;
use crate::inventory::{GivenAuthority, Inventory, Secret};
use crate::plan::desired::secured;

/// An authority of zkprov's, its key and its certificate in one file; the one that will follow it; and the
/// certificate of the one that it follows.
pub const AUTHORITY: &str = "ca.pem";
pub const NEXT: &str = "next.pem";
pub const FORMER: &str = "former.pem";
/// The operator's own key and certificate.
const OPERATOR: &str = "operator.pem";

/// What secures an ensemble, as far as this machine has it.
#[derive(Debug, Default)]
pub struct SecurityFiles {
    pub authority: Option<Authority>,
    pub passwords: BTreeMap<String, Secret>,
    /// Names and contents that were made just now and are not kept yet.
    fresh: Vec<(String, String)>,
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl SecurityFiles {
    /// Reads what is there, and makes what is missing, without keeping it.
    pub fn gather(inventory: &Inventory) -> Result<Self, Failure> {
        let (security, kept) = (&inventory.security, Kept::of(inventory));
        let mut files = Self::default();
        if security.tls() {
            files.authority = Some(match &security.ca {
                Some(given) => given_authority(given)?,
                None => files.own(inventory, &kept)?,
            });
        }
        for (user, source) in &security.users {
            let name = format!("password.{user}");
            let password = if let Some(source) = source {
                read_secret(source)?
            } else if let Some(text) = kept.read(&name)? {
                Secret::new(text.trim_end().into())
            } else {
                let made = secret::make()?;
                let text = String::from_utf8_lossy(made.reveal()).into_owned();
                files.fresh.push((name, text + "\n"));
                made
            };
            let text = String::from_utf8_lossy(password.reveal());
            if text.chars().any(|c| c.is_control() || c == '\u{fffd}' || c == '$') {
                let cause = format!("the password of `{user}` cannot stand in a login file");
                return Err(Failure::usage(cause)
                    .hint("take letters and digits: no `$`, no control characters, and UTF-8"));
            }
            files.passwords.insert(user.clone(), password);
        }
        Ok(files)
    }

    fn own(&mut self, inventory: &Inventory, kept: &Kept) -> Result<Authority, Failure> {
        let text = if let Some(text) = kept.read(AUTHORITY)? {
            text
        } else {
            let made = issue::authority(&inventory.ensemble, now_s())?;
            self.fresh.push((AUTHORITY.into(), made.clone()));
            made
        };
        let beside = [kept.read(NEXT)?, kept.read(FORMER)?].map(Option::unwrap_or_default);
        Authority::read(&text, &text, &beside.concat()).map_err(|why| {
            let path = kept.path(AUTHORITY);
            Failure::usage(format!("the authority in {} cannot be used: {why}", path.display()))
        })
    }

    /// The operator's own way in: client properties that name a certificate of this authority, which is
    /// renewed here as those of hosts are there.
    pub fn operator(inventory: &Inventory) -> Result<PathBuf, Failure> {
        let (files, kept) = (Self::gather(inventory)?, Kept::of(inventory));
        let authority = files.settled()?;
        let wanted = client(inventory, "operator");
        let trust = files.trust(inventory).expect("there is an authority");
        let found = kept.read(OPERATOR)?;
        if due::due(&wanted, &trust, found.as_deref()).is_some() {
            let made = request::make("operator").map_err(Failure::failed)?;
            let chain =
                wanted.issue(authority, &made.request, inventory.security.days, trust.now_s)?;
            kept.put(OPERATOR, &(made.key + &chain))?;
        }
        let trusted = kept.put("trusted.pem", &authority.trusted)?;
        let path = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let own = path(kept.path(OPERATOR));
        let text = secured::client_config(&own.to_string_lossy(), &path(trusted).to_string_lossy());
        kept.put("client.properties", &text)
    }

    /// What a client shows that is no host, for the key of its request; PEM.
    pub fn to_client(inventory: &Inventory, name: &str, request: &str) -> Result<String, Failure> {
        let files = Self::gather(inventory)?;
        let authority = files.settled()?;
        client(inventory, name).issue(authority, request, inventory.security.days, now_s())
    }

    /// The authority, if hosts can know it.
    fn settled(&self) -> Result<&Authority, Failure> {
        self.authority.as_ref().filter(|_| !self.is_fresh(true)).ok_or_else(|| {
            Failure::usage("there is no authority yet that could issue a certificate")
                .hint("`security: tls` asks for one, and `zkprov apply` makes it")
        })
    }

    /// What plans are made with.
    pub fn trust(&self, inventory: &Inventory) -> Option<Trust> {
        let authority = self.authority.as_ref()?;
        Some(Trust {
            bundle: authority.trusted.clone(),
            issuer_name: authority.facts.subject_name.clone(),
            now_s: now_s(),
            days: inventory.security.days,
        })
    }

    /// Whether the authority, or a password, was made just now: no host can have it.
    pub fn is_fresh(&self, of_authority: bool) -> bool {
        self.fresh.iter().any(|(name, _)| (name == AUTHORITY) == of_authority)
    }

    /// Keeps what was made, before any host gets it; gives the place of each file.
    pub fn keep(&self, inventory: &Inventory) -> Result<Vec<PathBuf>, Failure> {
        let kept = Kept::of(inventory);
        let missing = self.fresh.iter().filter(|(name, _)| !kept.path(name).exists());
        missing.map(|(name, text)| kept.add(name, text)).collect()
    }
}

fn client(inventory: &Inventory, name: &str) -> Wanted {
    Wanted {
        organization: inventory.ensemble.clone(),
        common_name: name.into(),
        names: Vec::new(),
        serves: false,
    }
}

fn given_authority(given: &GivenAuthority) -> Result<Authority, Failure> {
    let absent =
        |path: &std::path::Path| Failure::usage(format!("there is no file {}", path.display()));
    let key = read_own(&given.key)?.ok_or_else(|| absent(&given.key))?;
    let certificates = std::fs::read_to_string(&given.certificate).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", given.certificate.display()))
    })?;
    Authority::read(&key, &certificates, "").map_err(|why| {
        let cause = format!(
            "`security: ca` with {} and {} cannot be used: {why}",
            given.certificate.display(),
            given.key.display()
        );
        Failure::usage(cause)
    })
}
