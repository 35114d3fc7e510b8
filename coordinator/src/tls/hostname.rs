//! Whether a certificate is for a host, by the rules of `ZooKeeper`'s `ZKHostnameVerifier`.

use std::net::IpAddr;

use super::certificate::{Certificate, Name};
use super::subject::common_name;

/// Alternative names decide when there are any; the common name only when there are none.
pub fn covers(certificate: &[u8], host: &str) -> bool {
    let Some(certificate) = Certificate::parse(certificate) else { return false };
    let names = certificate.names();
    if names.is_empty() {
        return common_name(certificate.subject).is_some_and(|name| matches(&name, host));
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => names.contains(&Name::Address(&address.octets())),
        Ok(IpAddr::V6(address)) => names.contains(&Name::Address(&address.octets())),
        Err(_) => names.iter().any(|name| match name {
            Name::Dns(name) => std::str::from_utf8(name).is_ok_and(|name| matches(name, host)),
            Name::Address(_) => false,
        }),
    }
}

/// One `*` stands for any part of the first label of a name of three labels or more.
fn matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.trim_end_matches('.'), host.trim_end_matches('.'));
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(host);
    };
    if host.parse::<IpAddr>().is_ok() || before.contains('.') || after.matches('.').count() < 2 {
        return false;
    }
    let (before, after) = (before.to_ascii_lowercase(), after.to_ascii_lowercase());
    let host = host.to_ascii_lowercase();
    host.strip_prefix(&before)
        .and_then(|rest| rest.strip_suffix(&after))
        .is_some_and(|middle| !middle.is_empty() && !middle.contains('.'))
        && !after.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, host, fits) in [
            ("zk1.example.org", "ZK1.example.org", true),
            ("*.example.org", "zk1.example.org", true),
            ("zk*.example.org", "zk1.example.org", true),
            ("*.example.org", "a.zk1.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
            ("*", "example", false),
            ("*.*.org", "a.b.org", false),
            ("*.0.0.1", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("", "", false),
        ] {
            assert_eq!(matches(pattern, host), fits, "{pattern} {host}");
        }
    }
}
