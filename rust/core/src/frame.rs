//! A structural check of MessagePack before anything decodes it.
//!
//! One pass over the bytes that never allocates what they announce (only eight
//! bytes for each key of the open maps): a frame is refused for its depth, for
//! the number of its values, for an extension type, for text that is not UTF-8,
//! for a number that is not finite, for a key that is there twice or is neither
//! text nor an integer, for a length that goes past its end, and for bytes after it.

/// Why a payload was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A length or a value goes past the end of the payload.
    Truncated,
    /// Arrays and maps are nested deeper than allowed.
    TooDeep,
    /// An extension type or the reserved byte 0xc1.
    Extension,
    /// A str that is not UTF-8.
    NotUtf8,
    /// Bytes after the value.
    Trailing,
    /// A float that is NaN or infinite.
    NotFinite,
    /// A map's key that is neither text nor an integer.
    Key,
    /// A map's key that is there twice.
    DuplicateKey,
    /// More values than allowed.
    TooMany,
}

impl Refusal {
    /// A sentence for the log.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Truncated => "a length goes past the end",
            Refusal::TooDeep => "nested too deep",
            Refusal::Extension => "an extension type",
            Refusal::NotUtf8 => "text that is not UTF-8",
            Refusal::Trailing => "bytes after the end",
            Refusal::NotFinite => "a number that is NaN or infinite",
            Refusal::Key => "a key that is neither text nor an integer",
            Refusal::DuplicateKey => "a key that is there twice",
            Refusal::TooMany => "too many values",
        }
    }
}

/// Deepest nesting that [`check`] can be asked for.
pub const DEEPEST: usize = 64;

/// What a payload may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and maps may be nested, at most [`DEEPEST`].
    pub depth: usize,
    /// How many values (keys are values too) there may be: each of them costs the decoder up to a hundred bytes.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth: 32,
            values: 256 * 1024,
        }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .ok_or(Refusal::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn length(&mut self, width: usize) -> Result<usize, Refusal> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    fn text(&mut self, count: usize) -> Result<(), Refusal> {
        std::str::from_utf8(self.take(count)?)
            .map(|_| ())
            .map_err(|_| Refusal::NotUtf8)
    }

    /// Reads one value's head and scalar body; returns how many values it holds, and whether it is a map.
    fn value(&mut self) -> Result<(usize, bool), Refusal> {
        let head = self.length(1)? as u8;
        let map = matches!(head, 0x80..=0x8f | 0xde | 0xdf);
        self.held(head).map(|held| (held, map))
    }

    fn held(&mut self, head: u8) -> Result<usize, Refusal> {
        match head {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Ok(0),
            0x80..=0x8f => Ok(2 * usize::from(head & 0x0f)),
            0x90..=0x9f => Ok(usize::from(head & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(head & 0x1f)).map(|()| 0),
            0xc4..=0xc6 => {
                let count = self.length(1 << (head - 0xc4))?;
                self.take(count).map(|_| 0)
            }
            0xca => {
                let bits = self.length(4)? as u32;
                finite(f64::from(f32::from_bits(bits)))
            }
            0xcb => {
                let bits = self.length(8)? as u64;
                finite(f64::from_bits(bits))
            }
            0xcc..=0xcf => self.take(1 << (head - 0xcc)).map(|_| 0),
            0xd0..=0xd3 => self.take(1 << (head - 0xd0)).map(|_| 0),
            0xd9..=0xdb => {
                let count = self.length(1 << (head - 0xd9))?;
                self.text(count).map(|()| 0)
            }
            0xdc | 0xdd => self.length(2 << (head - 0xdc)),
            0xde | 0xdf => self.length(2 << (head - 0xde)).map(|count| 2 * count),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Err(Refusal::Extension),
        }
    }
}

fn finite(number: f64) -> Result<usize, Refusal> {
    if number.is_finite() {
        Ok(0)
    } else {
        Err(Refusal::NotFinite)
    }
}

/// An array or a map that is not at its end.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Values that are still to come.
    pending: usize,
    map: bool,
    /// Where its keys start among the keys of all open maps.
    keys: usize,
}

impl Open {
    fn expects_key(self) -> bool {
        self.map && self.pending.is_multiple_of(2)
    }
}

/// FNV-1a; a collision only costs whoever sought it his own frame.
fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(step(0xcbf2_9ce4_8422_2325, &kind), step)
}

/// What a key is, whichever way it is written: text by its bytes, integers by their value.
fn key(written: &[u8]) -> Result<u64, Refusal> {
    const TEXT: u8 = 0;
    const NATURAL: u8 = 1;
    const NEGATIVE: u8 = 2;
    let (head, rest) = written.split_first().ok_or(Refusal::Truncated)?;
    let number = || {
        rest.iter()
            .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    let signed = |value: i64| match u64::try_from(value) {
        Ok(value) => hash(NATURAL, &value.to_be_bytes()),
        Err(_) => hash(NEGATIVE, &value.to_be_bytes()),
    };
    match head {
        0xa0..=0xbf => Ok(hash(TEXT, rest)),
        0xd9 => Ok(hash(TEXT, rest.get(1..).unwrap_or_default())),
        0xda => Ok(hash(TEXT, rest.get(2..).unwrap_or_default())),
        0xdb => Ok(hash(TEXT, rest.get(4..).unwrap_or_default())),
        0x00..=0x7f => Ok(signed(i64::from(*head))),
        0xe0..=0xff => Ok(signed(i64::from(*head as i8))),
        0xcc..=0xcf => Ok(hash(NATURAL, &number().to_be_bytes())),
        0xd0 => Ok(signed(i64::from(number() as i8))),
        0xd1 => Ok(signed(i64::from(number() as i16))),
        0xd2 => Ok(signed(i64::from(number() as i32))),
        0xd3 => Ok(signed(number() as i64)),
        _ => Err(Refusal::Key),
    }
}

fn has_duplicates(keys: &mut [u64]) -> bool {
    const FEW: usize = 8;
    if keys.len() <= FEW {
        let later = |at: usize| keys.get(at + 1..).unwrap_or_default();
        return keys
            .iter()
            .enumerate()
            .any(|(at, key)| later(at).contains(key));
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Checks that `payload` is exactly one MessagePack value within `limits`.
///
/// # Errors
/// The first [`Refusal`] met.
pub fn check(payload: &[u8], limits: Limits) -> Result<(), Refusal> {
    let depth = limits.depth.min(DEEPEST);
    let mut open = [Open::default(); DEEPEST + 1];
    let mut keys = Vec::new();
    let mut level = 0;
    let mut left = limits.values;
    let mut cursor = Cursor { rest: payload };
    open[0].pending = 1;
    loop {
        while open[level].pending == 0 {
            if has_duplicates(&mut keys[open[level].keys..]) {
                return Err(Refusal::DuplicateKey);
            }
            keys.truncate(open[level].keys);
            if level == 0 {
                return if cursor.rest.is_empty() {
                    Ok(())
                } else {
                    Err(Refusal::Trailing)
                };
            }
            level -= 1;
        }
        left = left.checked_sub(1).ok_or(Refusal::TooMany)?;
        let is_key = open[level].expects_key();
        open[level].pending -= 1;
        let before = cursor.rest;
        let (held, map) = cursor.value()?;
        if is_key {
            keys.push(key(&before[..before.len() - cursor.rest.len()])?);
        }
        if held > 0 {
            // A container announces at least one byte for each value it holds.
            if held > cursor.rest.len() {
                return Err(Refusal::Truncated);
            }
            if level == depth {
                return Err(Refusal::TooDeep);
            }
            level += 1;
            open[level] = Open {
                pending: held,
                map,
                keys: keys.len(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_map_passes() {
        assert_eq!(
            check(&[0x81, 0xa1, b'a', 0x93, 1, 2, 3], Limits::default()),
            Ok(())
        );
    }

    #[test]
    fn announced_lengths_are_not_believed() {
        assert_eq!(
            check(&[0xdd, 0xff, 0xff, 0xff, 0xff], Limits::default()),
            Err(Refusal::Truncated)
        );
        assert_eq!(
            check(&[0xc6, 0xff, 0xff, 0xff, 0xff], Limits::default()),
            Err(Refusal::Truncated)
        );
    }

    #[test]
    fn depth_is_counted() {
        let mut nested = vec![0x91; 32];
        nested.push(1);
        assert_eq!(check(&nested, Limits::default()), Ok(()));
        nested.insert(0, 0x91);
        assert_eq!(check(&nested, Limits::default()), Err(Refusal::TooDeep));
    }

    #[test]
    fn keys_are_text_or_integers_and_there_once() {
        assert_eq!(
            check(&[0x81, 0x91, 1, 1], Limits::default()),
            Err(Refusal::Key)
        );
        assert_eq!(
            check(&[0x81, 0xc0, 1], Limits::default()),
            Err(Refusal::Key)
        );
        assert_eq!(
            check(&[0x81, 0xc4, 1, b'a', 1], Limits::default()),
            Err(Refusal::Key)
        );
        assert_eq!(check(&[0x82, 1, 1, 2, 2], Limits::default()), Ok(()));
        // The same key inside another map is another key.
        assert_eq!(
            check(&[0x82, 1, 0x81, 1, 1, 2, 0x81, 1, 1], Limits::default()),
            Ok(())
        );
        let twice: [&[u8]; 6] = [
            &[0x82, 1, 1, 1, 2],
            &[0x82, 1, 1, 0xcc, 1, 2],
            &[0x82, 1, 1, 0xd1, 0, 1, 2],
            &[0x82, 0xff, 1, 0xd0, 0xff, 2],
            &[0x82, 0xa1, b'a', 1, 0xd9, 1, b'a', 2],
            &[0x91, 0x82, 0xa1, b'a', 0x81, 1, 1, 0xa1, b'a', 2],
        ];
        for payload in twice {
            assert_eq!(
                check(payload, Limits::default()),
                Err(Refusal::DuplicateKey),
                "{payload:x?}"
            );
        }
        let mut many = vec![0xde, 0, 100];
        many.extend((0..100u8).flat_map(|key| [key, 0]));
        assert_eq!(check(&many, Limits::default()), Ok(()));
        many[3 + 2 * 99] = 7;
        assert_eq!(check(&many, Limits::default()), Err(Refusal::DuplicateKey));
    }

    #[test]
    fn values_are_counted() {
        let limits = Limits {
            depth: 32,
            values: 4,
        };
        assert_eq!(check(&[0x93, 1, 2, 3], limits), Ok(()));
        assert_eq!(check(&[0x94, 1, 2, 3, 4], limits), Err(Refusal::TooMany));
        assert_eq!(check(&[0x82, 1, 2, 3, 4], limits), Err(Refusal::TooMany));
    }

    #[test]
    fn what_has_no_place_in_a_frame() {
        assert_eq!(
            check(&[0xd4, 1, 1], Limits::default()),
            Err(Refusal::Extension)
        );
        assert_eq!(check(&[0xc1], Limits::default()), Err(Refusal::Extension));
        assert_eq!(
            check(&[0xa1, 0xff], Limits::default()),
            Err(Refusal::NotUtf8)
        );
        assert_eq!(check(&[1, 2], Limits::default()), Err(Refusal::Trailing));
        assert_eq!(check(&[], Limits::default()), Err(Refusal::Truncated));
        assert_eq!(
            check(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], Limits::default()),
            Err(Refusal::NotFinite)
        );
    }
}
