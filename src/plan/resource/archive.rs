//! A release of Kafka: verified here, unpacked on the host while it streams, stamped with its digest.

use std::path::PathBuf;

use crate::plan::change::{Action, Change, Difference};
use crate::plan::operation::{self, Carried, Operation};
use crate::plan::reason::{Found, Reason};
use crate::probe::{Kind, Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The folder it is unpacked in.
    pub root: String,
    /// Its only top folder.
    pub name: String,
    /// Who owns the files.
    pub user: String,
    pub sha512: String,
    /// Of the tarball, where it is known.
    pub bytes: Option<u64>,
    pub origin: Origin,
}

/// How the bytes get to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the controller's verified copy; `None` until it has been fetched, which a dry run does not
    /// do.
    Controller(Option<PathBuf>),
    /// The host's own download, hashed there.
    Host(Vec<String>),
}

/// Where what is in the way is kept.
pub fn aside(path: &str) -> String {
    format!("{path}.before-zkprov")
}

impl Archive {
    pub fn path(&self) -> String {
        format!("{}/{}", self.root.trim_end_matches('/'), self.name)
    }

    fn stamp(&self) -> String {
        format!("{}/.zkprov", self.path())
    }

    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path());
        reading.path(&aside(&self.path()));
        reading.content(&self.stamp());
        reading.space(&self.root);
        if matches!(self.origin, Origin::Host(_)) {
            reading.function("probe_fetcher", []);
        }
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let path = self.path();
        let aside = aside(&path);
        let there = observed.path(&path);
        let stamp = observed.content(&self.stamp()).map(String::from_utf8_lossy);
        if let Some(stamp) = &stamp
            && stamp.trim() == self.sha512
            && there.is_some_and(|t| t.kind == Kind::Directory)
        {
            return Difference::Same;
        }
        let (action, found, keep) = match there {
            None => (Action::Create, Found::Nothing, None),
            Some(_) if observed.path(&aside).is_some() => {
                return Difference::refused(
                    format!("{path} is not from this release, and {aside} exists already"),
                    "zkprov would keep what is there under that name; move one of them away",
                );
            }
            Some(_) if stamp.is_some() => {
                (Action::Update, Found::OtherDigest { aside: aside.clone() }, Some(aside))
            }
            Some(_) => (Action::Update, Found::NoStamp { aside: aside.clone() }, Some(aside)),
        };
        let release = operation::Release {
            root: self.root.trim_end_matches('/').to_owned(),
            name: self.name.clone(),
            user: self.user.clone(),
            sha512: self.sha512.clone(),
            aside: keep,
        };
        let by_host = matches!(self.origin, Origin::Host(_));
        let reason = Reason::Release { found, bytes: self.bytes, by_host };
        match &self.origin {
            Origin::Controller(fetched) => {
                // The unpacked release takes little more than the tarball: jars do not compress.
                let need_kb = self.bytes.unwrap_or(0) / 1000 * 5 / 4;
                if let Some(free_kb) = observed.space_kb(&self.root)
                    && free_kb < need_kb
                {
                    return Difference::refused(
                        format!(
                            "{} has {} MB free, the release needs about {}",
                            self.root,
                            free_kb / 1000,
                            need_kb / 1000
                        ),
                        "make room, or set kafka.install_root",
                    );
                }
                let tarball =
                    fetched.clone().zip(self.bytes).map(|(path, bytes)| Carried { path, bytes });
                let bytes = self.bytes.unwrap_or(0);
                let operation = Operation::UnpackRelease { release, bytes, tarball };
                Difference::change(Change::new(action, reason, operation))
            }
            Origin::Host(_) if observed.text("fetcher").trim().is_empty() => Difference::refused(
                "`fetch: host` needs curl or wget, and this host has neither",
                "install one of them, or let the controller download: `fetch: controller`",
            ),
            Origin::Host(urls) => {
                let operation = Operation::DownloadRelease { release, urls: urls.clone() };
                Difference::change(Change::new(action, reason, operation))
            }
        }
    }
}
