//! The part of ASN.1's Basic Encoding Rules that LDAP uses (RFC 4511 §5.1): tags of one byte, definite lengths.

/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub(super) const ENUMERATED: u8 = 0x0a;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// SET.
pub(super) const SET: u8 = 0x31;

/// An element with this tag.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let short = u8::try_from(content.len()).ok().filter(|length| *length < 0x80);
    let mut bytes = vec![tag];
    match short {
        Some(length) => bytes.push(length),
        None => {
            let digits = &length[length.iter().take_while(|digit| **digit == 0).count()..];
            bytes.push(0x80 | digits.len() as u8);
            bytes.extend(digits);
        }
    }
    bytes.extend(content);
    bytes
}

/// A number, which is never negative here.
pub(super) fn number(tag: u8, number: u32) -> Vec<u8> {
    let bytes = u64::from(number).to_be_bytes();
    // a first bit of 1 would mean a negative number
    let first = (0..7).find(|at| bytes[*at] != 0 || bytes[at + 1] & 0x80 != 0).unwrap_or(7);
    element(tag, &bytes[first..])
}

/// The number in an element's content; none for one that is negative or too large.
pub(super) fn to_number(content: &[u8]) -> Option<u32> {
    let first = *content.first()?;
    if first & 0x80 != 0 || content.len() > 5 {
        return None;
    }
    let number = content.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    number.try_into().ok()
}

/// How long an element is, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// More bytes are needed to tell.
    Short,
    /// Nothing that LDAP uses.
    Bad,
    /// Tag, bytes of the head, bytes of the content.
    Is(u8, usize, usize),
}

/// Reads the head of an element.
pub(super) fn head(bytes: &[u8]) -> Head {
    let &[tag, length, ref rest @ ..] = bytes else { return Head::Short };
    let digits = usize::from(length & 0x7f);
    match length {
        _ if tag & 0x1f == 0x1f => Head::Bad,
        0..0x80 => Head::Is(tag, 2, length.into()),
        0x80 | 0x85.. => Head::Bad,
        _ => match rest.get(..digits) {
            None => Head::Short,
            Some(found) => {
                let length = found.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit));
                Head::Is(tag, 2 + digits, length)
            }
        },
    }
}

/// Reads elements one after the other.
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the next element, which has to have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Head::Is(tag, head, length) = head(self.0) else { return None };
        let (element, rest) = self.0.split_at_checked(head.checked_add(length)?)?;
        self.0 = rest;
        Some((tag, &element[head..]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_the_standard_says() {
        assert_eq!(number(INTEGER, 0), [2, 1, 0]);
        assert_eq!(number(INTEGER, 127), [2, 1, 127]);
        assert_eq!(number(INTEGER, 128), [2, 2, 0, 128]);
        assert_eq!(number(INTEGER, u32::MAX), [2, 5, 0, 255, 255, 255, 255]);
        assert_eq!(element(OCTETS, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(OCTETS, &[7; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(head(&[0x30, 0x80]), Head::Bad, "no end of its own");
        assert_eq!(head(&[0x1f, 1]), Head::Bad);
        assert_eq!(head(&[0x30, 0x82, 1]), Head::Short);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u32, content: Vec<u8>) {
            let written = [number(INTEGER, value), element(OCTETS, &content)].concat();
            let mut elements = Elements(&written);
            prop_assert_eq!(to_number(elements.expect(INTEGER).unwrap()), Some(value));
            prop_assert_eq!(elements.expect(OCTETS).unwrap(), content);
            prop_assert!(elements.next().is_none());
        }

        #[test]
        fn anything_is_read(bytes: Vec<u8>) {
            for (_, content) in Elements(&bytes) {
                to_number(content);
                Elements(content).count();
            }
        }
    }
}
