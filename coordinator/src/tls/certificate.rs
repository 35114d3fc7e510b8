//! An X.509 certificate, as far as Java's trust manager looks at it and rustls-webpki does not.

use super::der::{BIT_STRING, Der, INTEGER, OCTETS, OID, SEQUENCE};

/// The parts of one certificate, borrowed from its DER.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate<'a> {
    pub(super) version: u32,
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// Contents of the algorithm that signed it.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Whole names, to be compared byte by byte.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// The key with its algorithm, whole.
    pub(super) key_info: &'a [u8],
    /// Contents of the key's algorithm, and the key.
    pub(super) key_algorithm: &'a [u8],
    pub(super) key: &'a [u8],
    extensions: &'a [u8],
}

/// `id-ce-subjectKeyIdentifier`
const KEY_ID: [u8; 3] = [0x55, 0x1d, 0x0e];
/// `id-ce-subjectAltName`
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
/// `id-ce-basicConstraints`
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
/// `id-ce-keyUsage`
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
/// `id-ce-extKeyUsage`
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const EXPLICIT_EXTENSIONS: u8 = 0xa3;

/// A name that a certificate claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    Dns(&'a [u8]),
    Address(&'a [u8]),
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut input = Der(der);
        let mut outer = input.inside(SEQUENCE).filter(|_| input.is_empty())?;
        let signed = outer.expect(SEQUENCE)?;
        let algorithm = outer.expect(SEQUENCE)?.contents;
        let signature = outer.bits()?;
        if !outer.is_empty() {
            return None;
        }
        let mut body = Der(signed.contents);
        let version = match body.optional(0xa0) {
            Some(element) => Der(element.contents).number()? + 1,
            None => 1,
        };
        body.expect(INTEGER)?; // the serial number
        let inner = body.expect(SEQUENCE)?.contents;
        if inner != algorithm {
            return None;
        }
        let issuer = body.expect(SEQUENCE)?.whole;
        let mut validity = body.inside(SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = body.expect(SEQUENCE)?.whole;
        let key_info = body.expect(SEQUENCE)?;
        let mut key = Der(key_info.contents);
        let key_algorithm = key.expect(SEQUENCE)?.contents;
        let key = key.bits()?;
        body.optional(0x81);
        body.optional(0x82);
        let extensions = match body.optional(EXPLICIT_EXTENSIONS) {
            Some(element) => Der(element.contents).expect(SEQUENCE)?.contents,
            None => &[],
        };
        body.is_empty().then_some(Certificate {
            version,
            signed: signed.whole,
            algorithm,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            key_info: key_info.whole,
            key_algorithm,
            key,
            extensions,
        })
    }

    pub(super) fn valid_at(&self, seconds: u64) -> bool {
        (self.not_before..=self.not_after).contains(&seconds)
    }

    /// Extensions as (id, critical, value); `None` for what is malformed.
    fn extensions(&self) -> impl Iterator<Item = Option<(&'a [u8], bool, &'a [u8])>> + use<'a> {
        let mut rest = Der(self.extensions);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let Some(mut one) = rest.inside(SEQUENCE) else {
                rest = Der(&[]);
                return Some(None);
            };
            let mut read = || {
                let id = one.expect(OID)?.contents;
                let critical = one.optional(0x01).is_some_and(|flag| flag.contents != [0]);
                Some((id, critical, one.expect(OCTETS)?.contents))
            };
            Some(read())
        })
    }

    fn extension(&self, wanted: [u8; 3]) -> Option<&'a [u8]> {
        self.extensions().flatten().find(|(id, ..)| *id == wanted).map(|(_, _, value)| value)
    }

    /// Whether nothing in it is critical that is not understood here.
    pub(super) fn understood(&self) -> bool {
        let known = [ALTERNATIVE_NAMES, BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE];
        self.extensions().all(|extension| {
            extension.is_some_and(|(id, critical, _)| !critical || known.iter().any(|k| *k == id))
        })
    }

    /// Whether it may sign what its owner says: no usage, or `digitalSignature` in it.
    pub(super) fn may_sign(&self) -> bool {
        let Some(value) = self.extension(KEY_USAGE) else { return true };
        let Some(bits) = Der(value).expect(BIT_STRING) else { return false };
        bits.contents.get(1).is_some_and(|first| first & 0x80 != 0)
    }

    /// Whether it may sign certificates: before version 3 nothing could deny it.
    pub(super) fn may_issue(&self) -> bool {
        if self.version < 3 {
            return true;
        }
        let constraints = self.extension(BASIC_CONSTRAINTS);
        let authority = constraints
            .and_then(|value| Der(value).inside(SEQUENCE)?.expect(0x01))
            .is_some_and(|flag| flag.contents != [0]);
        let usage = self.extension(KEY_USAGE).is_none_or(|value| {
            let bits = Der(value).expect(BIT_STRING);
            bits.is_some_and(|bits| bits.contents.get(1).is_some_and(|first| first & 0x04 != 0))
        });
        authority && usage
    }

    /// Whether it may be used for this purpose (`id-kp` and a number): none named, this, or any.
    pub(super) fn may_be_used_for(&self, purpose: u8) -> bool {
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else { return true };
        let Some(mut list) = Der(value).inside(SEQUENCE) else { return false };
        let any = [0x55, 0x1d, 0x25, 0x00];
        let wanted = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, purpose];
        std::iter::from_fn(|| list.expect(OID))
            .any(|id| id.contents == wanted || id.contents == any)
    }

    pub(super) fn key_id(&self) -> Option<&'a [u8]> {
        Some(Der(self.extension(KEY_ID)?).expect(OCTETS)?.contents)
    }

    /// DNS names and addresses; empty without the extension.
    pub(super) fn names(&self) -> Vec<Name<'a>> {
        let list = self.extension(ALTERNATIVE_NAMES).and_then(|value| Der(value).inside(SEQUENCE));
        let Some(mut list) = list else { return Vec::new() };
        std::iter::from_fn(|| list.next())
            .filter_map(|name| match name.tag {
                0x82 => Some(Name::Dns(name.contents)),
                0x87 => Some(Name::Address(name.contents)),
                _ => None,
            })
            .collect()
    }
}

/// `UTCTime` or `GeneralizedTime` in the forms that RFC 5280 allows.
fn time(input: &mut Der<'_>) -> Option<u64> {
    let element = input.next()?;
    let digits = std::str::from_utf8(element.contents).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = match (element.tag, digits.len()) {
        (0x17, 12) => format!("{}{digits}", if digits < "50" { "20" } else { "19" }),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    let seconds = days * 86_400 + part(8, 10)? * 3600 + part(10, 12)? * 60 + part(12, 14)?;
    // What was valid before 1970 was so from the beginning.
    Some(seconds.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let read = |tag, text: &str| {
            let mut der = vec![tag, text.len() as u8];
            der.extend_from_slice(text.as_bytes());
            time(&mut Der(&der))
        };
        assert_eq!(read(0x17, "700101000000Z"), Some(0));
        assert_eq!(read(0x17, "260228235959Z"), Some(1_772_323_199));
        assert_eq!(read(0x18, "20000301000000Z"), Some(951_868_800));
        assert_eq!(read(0x18, "19500101000000Z"), Some(0));
        for (tag, bad) in
            [(0x17, "2602282359Z"), (0x18, "20001301000000Z"), (0x17, "26022823595+Z")]
        {
            assert_eq!(read(tag, bad), None, "{bad}");
        }
    }
}
