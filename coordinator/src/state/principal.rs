//! Names that may stand behind `sasl:` and `x509:` in an ACL, as Java takes them.

/// `KerberosName`: `service[/host]@realm`, or anything without an `@`.
pub(super) fn is_kerberos_name(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => {
            let host = name.split_once('/').map_or("", |(_, host)| host);
            !host.contains('/') && !realm.contains(['/', '@'])
        }
    }
}

/// What `new X500Principal(id)` knows beside dotted numbers, in upper case.
const KEYWORDS: [&str; 22] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
    "TITLE",
];

/// `X509AuthenticationProvider.isValid`: a distinguished name that can be parsed. It is stored as it
/// was given, and matches only the text that RFC 2253 makes of a subject.
pub(super) fn is_distinguished_name(id: &str) -> bool {
    let mut rest = id.trim();
    if rest.is_empty() {
        return true; // the empty name
    }
    loop {
        let Some((keyword, value)) = rest.split_once('=') else { return false };
        if !is_attribute(keyword.trim()) {
            return false;
        }
        match after_value(value.trim_start()) {
            After::Nothing => return true,
            After::Malformed => return false,
            After::Part(part) => rest = part,
        }
    }
}

fn is_attribute(keyword: &str) -> bool {
    let upper = keyword.to_ascii_uppercase();
    let number = upper.strip_prefix("OID.").unwrap_or(&upper);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    KEYWORDS.contains(&upper.as_str()) || number.contains('.') && number.split('.').all(is_number)
}

/// What stands behind a value.
enum After<'a> {
    Nothing,
    /// Another part of the name, behind the separator.
    Part(&'a str),
    Malformed,
}

fn after_value(value: &str) -> After<'_> {
    let mut quoted = false;
    let mut ended = false;
    let mut letters = value.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if letters.next().is_none() => return After::Malformed,
            '"' if at == 0 => quoted = true,
            '"' if quoted => {
                quoted = false;
                ended = true;
            }
            ',' | ';' | '+' if !quoted => return After::Part(&value[at + 1..]),
            ' ' | '\\' => {}
            _ if ended => return After::Malformed,
            '"' => return After::Malformed,
            _ => {}
        }
    }
    if quoted { After::Malformed } else { After::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kerberos_names_are_taken_as_java_takes_them() {
        for (id, valid) in [
            ("", true),
            ("jaasuser", true),
            ("a/b/c", true),
            ("a@", true),
            ("zk/host@REALM", true),
            ("@", true),
            ("a@b@c", false),
            ("a/b/c@d", false),
            ("a@b/c", false),
        ] {
            assert_eq!(is_kerberos_name(id), valid, "{id}");
        }
    }

    #[test]
    fn distinguished_names_are_taken_as_java_takes_them() {
        for (id, valid) in [
            ("", true),
            ("CN=broker one,OU=Kafka,O=Acme\\, Inc.,L=Berlin,ST=Berlin,C=DE", true),
            ("cn=a, o=b", true),
            ("CN=\"a,b\",O=c", true),
            ("OU=val+CN=multi", true),
            ("1.2.840.113549.1.9.1=#1607", true),
            ("OID.2.5.4.5=x", true),
            ("x", false),
            ("CN=x,y", false),
            ("FOO=x", false),
            ("CN=a\\", false),
            ("CN=\"a", false),
            ("=x", false),
        ] {
            assert_eq!(is_distinguished_name(id), valid, "{id}");
        }
    }
}
