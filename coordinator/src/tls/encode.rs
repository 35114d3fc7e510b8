//! DER and PEM, written: as far as certificates and requests for them need it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::der::{BIT_STRING, INTEGER, OCTETS, OID, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Columns of a line of PEM.
const PEM_COLUMNS: usize = 64;
/// `id-at-commonName` and `id-at-organizationName`
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
const ORGANIZATION: [u8; 3] = [0x55, 4, 10];

/// One element of any tag.
pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut whole = vec![tag];
    let length = contents.len();
    if let Ok(short @ ..0x80) = u8::try_from(length) {
        whole.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let significant = &bytes[zeros..];
        whole.push(0x80 | significant.len() as u8);
        whole.extend_from_slice(significant);
    }
    whole.extend_from_slice(contents);
    whole
}

/// A sequence of elements that are whole already.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// A number that is not negative, from its big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = &bytes[zeros..];
    match significant.first() {
        None => element(INTEGER, &[0]),
        Some(0x80..) => element(INTEGER, &[&[0], significant].concat()),
        Some(_) => element(INTEGER, significant),
    }
}

/// A bit string of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

pub fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTETS, bytes)
}

/// An object identifier whose numbers are encoded already.
pub fn oid(encoded: &[u8]) -> Vec<u8> {
    element(OID, encoded)
}

/// A `Name` of an organization, where one is given, and a common name.
pub fn name(organization: Option<&str>, common_name: &str) -> Vec<u8> {
    let part = |kind: &[u8], text: &str| {
        element(SET, &sequence(&[&oid(kind), &element(UTF8_STRING, text.as_bytes())]))
    };
    let organization = organization.map(|text| part(&ORGANIZATION, text)).unwrap_or_default();
    sequence(&[&organization, &part(&COMMON_NAME, common_name)])
}

/// Seconds since 1970 in the form that RFC 5280 demands for that year.
pub fn time(seconds: u64) -> Vec<u8> {
    let days = (seconds / 86_400).cast_signed();
    // Years that begin in March, as the reader counts them.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        element(UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
    }
}

/// PEM with this label.
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(PEM_COLUMNS) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::super::der::Der;
    use super::*;

    #[test]
    fn lengths_and_numbers_are_the_shortest_there_are() {
        assert_eq!(element(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(element(4, &[0; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(element(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[0; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
        assert_eq!(integer(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let whole = element(4, &vec![1; length]);
            let mut der = Der(&whole);
            assert_eq!(der.next().map(|e| e.contents.len()), Some(length));
            assert!(der.is_empty());
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        let text = |seconds| String::from_utf8(time(seconds)[2..].to_vec()).unwrap();
        assert_eq!(text(0), "700101000000Z");
        assert_eq!(text(951_868_799), "000229235959Z");
        assert_eq!(text(1_772_323_199), "260228235959Z");
        assert_eq!(text(2_524_607_999), "491231235959Z");
        assert_eq!(text(2_524_608_000), "20500101000000Z");
        assert_eq!(time(2_524_608_000)[0], GENERALIZED_TIME);
    }
}
