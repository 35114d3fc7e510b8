//! A service's certificate: its key is made on the host and stays there, what is issued for it comes from
//! here. It is renewed with a new key; the server reads the store anew, so nothing is restarted for it.

use crate::certificates::due::{self, Trust};
use crate::certificates::{Wanted, Why};
use crate::plan::change::{Action, Change, Difference};
use crate::plan::library;
use crate::plan::operation::{Access, Operation};
use crate::plan::reason::Reason;
use crate::probe::{Kind, Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The file of key and certificate; PEM.
    pub store: String,
    pub access: Access,
    pub wanted: Wanted,
    /// `None` before the authority is known: what is read does not depend on it.
    pub trust: Option<Trust>,
    /// The coordinator's binary, which makes keys.
    pub tool: String,
}

/// The fact that holds a store's certificates, without its key.
pub fn fact(store: &str) -> String {
    format!("certificates {store}")
}

impl Certificate {
    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.store);
        reading.library(library::CERTIFICATE);
        reading.call(&fact(&self.store), "read_certificates", [self.store.as_str()]);
        reading.function("read_cpu", []);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let there = observed.path(&self.store);
        if let Some(there) = there.filter(|there| there.kind != Kind::File) {
            let what = if matches!(there.kind, Kind::Symlink(_)) { "a symlink" } else { "no file" };
            return Difference::refused(
                format!("{} is there and is {what}", self.store),
                "zkprov puts a key there: move it away",
            );
        }
        let missing = missing_features(observed);
        if !missing.is_empty() {
            return Difference::refused(
                format!("its CPU cannot do TLS: it lacks {}", missing.join(", ")),
                "a machine of the generation of Broadwell or Zen can, and any ARM server; of a virtual machine, \
                 choose the CPU type `host`",
            );
        }
        let Some(trust) = &self.trust else { return Difference::Same };
        let found = observed.text(&fact(&self.store));
        let found = there.map(|_| found.as_str());
        let why = due::due(&self.wanted, trust, found);
        let access = there.map(|there| Access::new(&there.owner, &there.group, &there.mode));
        let reason = match (why, access) {
            (Some(why), _) => Reason::Certificate(why),
            (None, Some(found)) if found != self.access => {
                // A key that others could read is a key that others may have.
                Reason::Access { found, wanted: self.access.clone() }
            }
            (None, _) => {
                let left = due::first(found.unwrap_or_default())
                    .and_then(|facts| due::days_left(&facts, trust.now_s));
                return Difference::Noted(format!("ends in {} days", left.unwrap_or(0)));
            }
        };
        let action = if matches!(reason, Reason::Certificate(Why::Missing)) {
            Action::Create
        } else {
            Action::Update
        };
        let request =
            Operation::RequestCertificate { tool: self.tool.clone(), store: self.store.clone() };
        let install = Operation::InstallCertificate {
            store: self.store.clone(),
            access: self.access.clone(),
            subject: self.wanted.subject(),
            names: self.wanted.names.clone(),
            chain: String::new(),
        };
        Difference::Changes(vec![
            Change::new(action, Reason::NewKey, request),
            Change::new(action, reason, install),
        ])
    }
}

/// What the server's cryptography needs of a CPU, by the names of `/proc/cpuinfo`.
const X86: [&str; 8] = ["aes", "pclmulqdq", "bmi1", "bmi2", "adx", "avx", "avx2", "ssse3"];
const ARM: [&str; 4] = ["asimd", "aes", "pmull", "sha2"];

/// What a host's CPU lacks of it; empty where that was not asked.
pub fn missing_features(observed: &Observed) -> Vec<&'static str> {
    let told = observed.text("cpu");
    let have: Vec<&str> = told.split_whitespace().collect();
    if have.is_empty() {
        return Vec::new();
    }
    let needed: &[&str] = match observed.architecture().as_str() {
        "x86_64" => &X86,
        "aarch64" => &ARM,
        _ => &[],
    };
    needed.iter().filter(|feature| !have.contains(feature)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "fpu aes pclmulqdq bmi1 bmi2 adx avx avx2 ssse3";

    fn certificate() -> Certificate {
        Certificate {
            store: "/etc/kafka/coordinator.pem".into(),
            access: Access::new("kafka", "kafka", "600"),
            wanted: Wanted {
                organization: "demo".into(),
                common_name: "a".into(),
                names: vec!["10.0.0.1".into()],
                serves: true,
            },
            trust: Some(Trust {
                bundle: String::new(),
                issuer_name: Vec::new(),
                now_s: 1_796_000_000,
                days: 90,
            }),
            tool: "/usr/local/lib/zkprov/coordinator-1".into(),
        }
    }

    #[test]
    fn a_key_is_asked_for_before_its_certificate() {
        let observed = Observed::of([("cpu", CPU), ("kernel", "Linux 6.1 x86_64")]);
        let Difference::Changes(changes) = certificate().differ(&observed) else {
            panic!("missing")
        };
        assert!(matches!(changes[0].operation, Operation::RequestCertificate { .. }));
        assert!(matches!(changes[1].operation, Operation::InstallCertificate { .. }));
        assert_eq!(changes[1].reason, Reason::Certificate(Why::Missing));
    }

    #[test]
    fn a_cpu_below_the_floor_is_refused_by_the_names_of_what_it_lacks() {
        let haswell = CPU.replace(" adx", "");
        let observed = Observed::of([("cpu", haswell.as_str()), ("kernel", "Linux 6.1 x86_64")]);
        let Difference::Refused { cause, .. } = certificate().differ(&observed) else {
            panic!("refused")
        };
        assert_eq!(cause, "its CPU cannot do TLS: it lacks adx");
        let arm =
            Observed::of([("cpu", "fp asimd aes pmull sha2"), ("kernel", "Linux 6.1 aarch64")]);
        assert!(missing_features(&arm).is_empty());
        let pi = Observed::of([("cpu", "fp asimd crc32"), ("kernel", "Linux 6.1 aarch64")]);
        assert_eq!(missing_features(&pi), ["aes", "pmull", "sha2"]);
    }
}
