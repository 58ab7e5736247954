//! A structural check of MessagePack before anything decodes it.
//!
//! One pass over the bytes that allocates nothing: a frame is refused for its
//! depth, for an extension type, for text that is not UTF-8, for a length that
//! goes past its end, and for bytes after its end.

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
        }
    }
}

/// Deepest nesting that [`check`] can be asked for.
pub const DEEPEST: usize = 64;

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

    /// Reads one value's head and scalar body; returns how many values it holds.
    fn value(&mut self) -> Result<usize, Refusal> {
        let head = self.length(1)? as u8;
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

/// Checks that `payload` is exactly one MessagePack value nested at most `depth` deep.
///
/// # Errors
/// The first [`Refusal`] met.
pub fn check(payload: &[u8], depth: usize) -> Result<(), Refusal> {
    let depth = depth.min(DEEPEST);
    let mut pending = [0usize; DEEPEST + 1];
    let mut level = 0;
    let mut cursor = Cursor { rest: payload };
    pending[0] = 1;
    loop {
        while pending[level] == 0 {
            if level == 0 {
                return if cursor.rest.is_empty() {
                    Ok(())
                } else {
                    Err(Refusal::Trailing)
                };
            }
            level -= 1;
        }
        pending[level] -= 1;
        let held = cursor.value()?;
        if held > 0 {
            // A container announces at least one byte for each value it holds.
            if held > cursor.rest.len() {
                return Err(Refusal::Truncated);
            }
            if level == depth {
                return Err(Refusal::TooDeep);
            }
            level += 1;
            pending[level] = held;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_map_passes() {
        assert_eq!(check(&[0x81, 0xa1, b'a', 0x93, 1, 2, 3], 32), Ok(()));
    }

    #[test]
    fn announced_lengths_are_not_believed() {
        assert_eq!(
            check(&[0xdd, 0xff, 0xff, 0xff, 0xff], 32),
            Err(Refusal::Truncated)
        );
        assert_eq!(
            check(&[0xc6, 0xff, 0xff, 0xff, 0xff], 32),
            Err(Refusal::Truncated)
        );
    }

    #[test]
    fn depth_is_counted() {
        let mut nested = vec![0x91; 32];
        nested.push(1);
        assert_eq!(check(&nested, 32), Ok(()));
        nested.insert(0, 0x91);
        assert_eq!(check(&nested, 32), Err(Refusal::TooDeep));
    }

    #[test]
    fn what_has_no_place_in_a_frame() {
        assert_eq!(check(&[0xd4, 1, 1], 32), Err(Refusal::Extension));
        assert_eq!(check(&[0xc1], 32), Err(Refusal::Extension));
        assert_eq!(check(&[0xa1, 0xff], 32), Err(Refusal::NotUtf8));
        assert_eq!(check(&[1, 2], 32), Err(Refusal::Trailing));
        assert_eq!(check(&[], 32), Err(Refusal::Truncated));
        assert_eq!(
            check(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], 32),
            Err(Refusal::NotFinite)
        );
    }
}
