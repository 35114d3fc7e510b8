//! DER, read as far as certificates and key stores need it. Every length is checked.

/// One element: its tag, all its bytes, and its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) whole: &'a [u8],
    pub(super) contents: &'a [u8],
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let input = self.0;
        let (&tag, after) = input.split_first()?;
        // Tags of more than one byte stand in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut body) = after.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, rest) = body.split_at_checked(count)?;
            body = rest;
            bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (contents, rest) = body.split_at_checked(length)?;
        self.0 = rest;
        Some(Element { tag, whole: &input[..input.len() - rest.len()], contents })
    }

    /// The next element if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The contents of the next element, to be read on.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Der<'a>> {
        self.expect(tag).map(|element| Der(element.contents))
    }

    /// The next element, if it is there and has this tag; nothing is taken otherwise.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.expect(tag)?;
        *self = ahead;
        Some(element)
    }

    /// A whole number that fits.
    pub(super) fn number(&mut self) -> Option<u32> {
        let bytes = self.expect(INTEGER)?.contents;
        if bytes.is_empty() || bytes[0] >= 0x80 {
            return None;
        }
        bytes.iter().try_fold(0_u32, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))
    }

    /// A bit string of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        self.expect(BIT_STRING)?.contents.strip_prefix(&[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        let mut der = Der(&[0x02, 0x01, 0x05, 0x04, 0x81, 0x01, 0xff]);
        assert_eq!(der.number(), Some(5));
        assert_eq!(der.expect(OCTETS).unwrap().contents, [0xff]);
        assert!(der.is_empty() && der.next().is_none());
        for bad in [
            &[0x30][..],
            &[0x30, 2, 0],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x1f, 1, 0],
        ] {
            assert!(Der(bad).next().is_none(), "{bad:x?}");
        }
        assert_eq!(Der(&[2, 5, 1, 0, 0, 0, 0]).number(), None);
    }
}
