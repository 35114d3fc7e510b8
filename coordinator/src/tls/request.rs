//! A host's own key and the request for its certificate (PKCS#10): the key never leaves the host, and
//! whoever issues takes nothing but the public key from a request.

use graviola::hashing::Sha256;
use graviola::signing::ecdsa::{P256, SigningKey};

use super::der::{Der, INTEGER, SEQUENCE};
use super::encode::{bits, element, integer, name, oid, pem, sequence};
use super::provider::missing_features;

/// `ecdsa-with-SHA256`
pub const ECDSA_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// `id-ecPublicKey`
const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// `secp256r1`
const P256_CURVE: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// An uncompressed point of P-256.
const POINT_BYTES: usize = 65;
/// A request of ours has some 200 bytes; no stranger's can be a burden.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// A key that was made just now, and what asks for its certificate; both PEM.
pub struct KeyAndRequest {
    pub key: String,
    pub request: String,
}

/// Makes a key of P-256. The error says why this machine cannot.
pub fn make(common_name: &str) -> Result<KeyAndRequest, String> {
    let missing = missing_features();
    if !missing.is_empty() {
        return Err(format!("this CPU cannot do TLS: it lacks {}", missing.join(", ")));
    }
    let failed = |error| format!("no key could be made: {error:?}");
    let key = SigningKey::<P256>::generate().map_err(failed)?;
    let (mut key_space, mut info_space, mut signature_space) = ([0; 512], [0; 256], [0; 256]);
    let info = key.to_spki_der(&mut info_space).map_err(failed)?;
    // Version, who asks, its key, and no attributes.
    let body = sequence(&[&integer(&[]), &name(None, common_name), info, &element(0xa0, &[])]);
    let signature = key.sign_asn1::<Sha256>(&[&body], &mut signature_space).map_err(failed)?;
    let request = sequence(&[&body, &sequence(&[&oid(&ECDSA_SHA256)]), &bits(signature)]);
    let key = key.to_pkcs8_der(&mut key_space).map_err(failed)?;
    Ok(KeyAndRequest {
        key: pem("PRIVATE KEY", key),
        request: pem("CERTIFICATE REQUEST", &request),
    })
}

/// The parts of a request that count: what is signed, the signature, and the public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub signed: &'a [u8],
    pub signature: &'a [u8],
    /// The key with its algorithm, whole.
    pub key_info: &'a [u8],
    /// The point, uncompressed.
    pub point: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request for a key of P-256, signed by ECDSA with SHA-256; `None` for everything else. The
    /// signature has not been checked.
    pub fn parse(der: &'a [u8]) -> Option<Request<'a>> {
        let mut input = Der(der);
        let mut outer = input.inside(SEQUENCE).filter(|_| input.is_empty())?;
        let signed = outer.expect(SEQUENCE)?;
        let mut algorithm = outer.inside(SEQUENCE)?;
        let signature = outer.bits()?;
        let is = |element: Option<super::der::Element<'_>>, wanted: &[u8]| {
            element.is_some_and(|element| element.contents == wanted)
        };
        if !outer.is_empty() || !is(algorithm.next(), &ECDSA_SHA256) {
            return None;
        }
        let mut body = Der(signed.contents);
        body.expect(INTEGER)?;
        body.expect(SEQUENCE)?;
        let key_info = body.expect(SEQUENCE)?;
        let mut key = Der(key_info.contents);
        let mut kind = key.inside(SEQUENCE)?;
        let point = key.bits()?;
        let ours = is(kind.next(), &EC_PUBLIC_KEY)
            && is(kind.next(), &P256_CURVE)
            && kind.is_empty()
            && key.is_empty()
            && point.len() == POINT_BYTES
            && point[0] == 4;
        ours.then_some(Request { signed: signed.whole, signature, key_info: key_info.whole, point })
    }
}

#[cfg(test)]
mod tests {
    use graviola::signing::ecdsa::VerifyingKey;

    use super::super::blocks;
    use super::*;

    #[test]
    fn a_request_is_signed_by_the_key_it_names() {
        let made = make("zk1").expect("this machine can");
        let der = blocks(&made.request, "CERTIFICATE REQUEST").remove(0);
        let request = Request::parse(&der).expect("ours");
        let key = VerifyingKey::<P256>::from_x962_uncompressed(request.point).expect("a point");
        key.verify_asn1::<Sha256>(&[request.signed], request.signature).expect("signed");
        let other = make("zk1").expect("this machine can");
        assert_ne!(other.key, made.key);
    }

    #[test]
    fn what_is_no_request_of_ours_is_refused() {
        let made = make("zk1").expect("this machine can");
        let der = blocks(&made.request, "CERTIFICATE REQUEST").remove(0);
        for cut in 0..der.len() {
            assert!(Request::parse(&der[..cut]).is_none(), "cut at {cut}");
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert!(Request::parse(&longer).is_none());
        let curve = der.windows(8).position(|window| window == P256_CURVE).expect("its curve");
        let mut other = der.clone();
        other[curve + 7] = 8;
        assert!(Request::parse(&other).is_none(), "another curve");
    }
}
