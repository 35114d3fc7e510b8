//! Who may log in to this server and who must: SASL's users, the super users, enforced schemes.

use super::builder::{Read, permissions};
use super::entries::{Entries, Result};
use crate::sasl::{Users, server_users};

const PROVIDERS: &str = "org.apache.zookeeper.server.auth.";
const SASL_PROVIDER: &str = "SASLAuthenticationProvider";
/// Beside SASL's; what they provide is built in.
const BUILT_IN: [&str; 3] =
    ["X509AuthenticationProvider", "DigestAuthenticationProvider", "IPAuthenticationProvider"];
/// What a connection can prove, or has from the beginning.
const SCHEMES: [&str; 4] = ["digest", "ip", "sasl", "x509"];

/// What callers may and must prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Users of the JAAS file; `None` when no login section was found.
    pub users: Option<Users>,
    pub super_users: Vec<String>,
    /// The subject, as RFC 2253 writes it, that passes every permission check.
    pub super_subject: Option<String>,
    /// Empty: nobody must prove anything.
    pub required_schemes: Vec<String>,
    pub refused_may_stay: bool,
}

impl Entries {
    pub(super) fn security(&mut self, read: Read<'_>) -> Result<Security> {
        let users = self.users(read)?;
        self.auth_providers(users.is_some())?;
        let super_users = self
            .iter()
            .filter(|(key, value)| {
                (*key == "superUser" || key.starts_with("superUser.")) && !value.is_empty()
            })
            .map(|(_, value)| value.to_owned())
            .collect();
        Ok(Security {
            required_schemes: self.required_schemes(users.is_some())?,
            users,
            super_users,
            super_subject: self.text("X509AuthenticationProvider.superUser"),
            refused_may_stay: self.switch("allowSaslFailedClients", false)?,
        })
    }

    /// Providers that are not there would mean clients and ACLs that are judged otherwise than the
    /// file's author expects.
    fn auth_providers(&mut self, sasl: bool) -> Result<()> {
        let providers: Vec<(String, String)> = self
            .iter()
            .filter(|(key, _)| key.starts_with("authProvider."))
            .map(|(key, class)| (key.to_owned(), class.to_owned()))
            .collect();
        for (key, class) in providers {
            let name = class.strip_prefix(PROVIDERS).unwrap_or_default();
            if name == SASL_PROVIDER {
                if !sasl {
                    let message = "has no effect: no login section names users, clients that try \
                                   SASL are told so";
                    self.warn(&key, message.to_owned());
                }
            } else if !BUILT_IN.contains(&name) {
                return Err(self.error_value(
                    &key,
                    "authentication providers cannot be added",
                    "remove the key; world, auth, digest, ip, sasl, x509 and super are built in",
                ));
            }
        }
        Ok(())
    }

    fn users(&mut self, read: Read<'_>) -> Result<Option<Users>> {
        let (own, javas) = ("coordinator.jaasFile", "java.security.auth.login.config");
        let key = if self.path(own).is_some() { own } else { javas };
        let Some(path) = self.path(key) else { return Ok(None) };
        let section = self.text("sasl.serverconfig").unwrap_or_else(|| "Server".to_owned());
        let hint = format!(
            "its form is `{section} {{ {PROVIDERS}DigestLoginModule required user_NAME=\"PASSWORD\"; }};`"
        );
        let contents = read(&path)
            .map_err(|error| self.error_value(key, format!("cannot be read: {error}"), &hint))?;
        let users = server_users(&contents, &section)
            .map_err(|error| self.error_value(key, error.to_string(), &hint))?;
        let Some(mut users) = users else {
            self.warn(key, format!("the file has no section `{section}`: nobody can log in"));
            return Ok(None);
        };
        if permissions(&path) & 0o007 != 0 {
            let file = path.display();
            self.warn(key, format!("everyone on this host may read the passwords in {file}"));
        }
        if let Some(named) = users.names().find(|name| name.contains('@')).map(str::to_owned) {
            let message = format!("user `{named}` has an `@`, which begins a Kerberos realm");
            return Err(self.error(key, message, "give the user a name without it"));
        }
        if let Some(password) = self.text("SASLAuthenticationProvider.superPassword") {
            users.set("super", &password);
        }
        Ok(Some(users))
    }

    /// `AuthenticationHelper`
    fn required_schemes(&self, sasl: bool) -> Result<Vec<String>> {
        let mut schemes = Vec::new();
        if self.switch("sessionRequireClientSASLAuth", false)? {
            schemes.push("sasl".to_owned());
        }
        let key = "enforce.auth.schemes";
        if self.switch("enforce.auth.enabled", false)? {
            let given = self.text(key).unwrap_or_default();
            for scheme in given.split(',').map(str::trim).filter(|scheme| !scheme.is_empty()) {
                let scheme = scheme.to_ascii_lowercase();
                if !SCHEMES.contains(&scheme.as_str()) {
                    return Err(self.error_value(
                        key,
                        format!("`{scheme}` is no scheme"),
                        "known are digest, ip, sasl and x509",
                    ));
                }
                if !schemes.contains(&scheme) {
                    schemes.push(scheme);
                }
            }
            if schemes.is_empty() {
                return Err(self.error(
                    "enforce.auth.enabled",
                    "names no scheme to enforce",
                    "add enforce.auth.schemes=sasl, or a list of digest, ip, sasl and x509",
                ));
            }
        }
        if schemes == ["sasl"] && !sasl {
            return Err(self.error(
                if self.text("sessionRequireClientSASLAuth").is_some() {
                    "sessionRequireClientSASLAuth"
                } else {
                    key
                },
                "requires a login, and no JAAS file names users: no client could be served",
                "name the file by coordinator.jaasFile",
            ));
        }
        Ok(schemes)
    }
}
