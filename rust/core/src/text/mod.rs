//! Text from outside, made harmless to show.
//!
//! [`safe`] is what every such text passes before it reaches a terminal; [`hidden()`] names what a reviewer
//! would not see. Both read the same pieces, so that what one writes out the other names.
//!
//! | in the text | shown as |
//! |---|---|
//! | line feed, tab | kept; where one line is wanted `␊` and one space |
//! | other C0 controls and DEL | their pictures, U+2400 to U+2421 (`␛`, `␍`) |
//! | C1 controls, U+2028, U+2029 | `<U+009B>` |
//! | bidi controls, zero-width and other invisible characters, tags, noncharacters | `<U+202E>` |
//! | ZWJ | kept between two emoji, and after a virama before a letter; else `<U+200D>` |
//! | ZWNJ | kept after a virama before a letter, and between two Arabic letters; else `<U+200C>` |
//! | VS15, VS16 | kept once after an emoji, or in a keycap; all other selectors `<U+FE00>` |
//! | the tags of the flags of England, Scotland and Wales | kept after U+1F3F4 |
//! | combining marks | the first four on a base; then `<+12 marks>`; one without a base stands on `◌` |

mod classes;
mod hidden;
mod pieces;

use std::borrow::Cow;
use std::fmt::Write;

pub use hidden::{Finding, hidden};
use pieces::{Piece, Pieces, Shown};

/// Marks that may stand on one base.
pub const MARKS_ON_A_BASE: usize = 4;

/// What [`safe`] may do with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The result never has more characters than this; 0 is no limit.
    pub max_chars: usize,
    /// Line feeds and tabs are kept; otherwise they become `␊` and a space.
    pub keep_newlines: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_chars: 0,
            keep_newlines: true,
        }
    }
}

/// Returns `text` with everything that could act on a terminal or deceive a reader made visible.
///
/// Borrowed where nothing had to change. A text that is cut ends in `… (N more)`, N being the characters of
/// `text` that are not shown (only `…` where the limit has no room for more).
pub fn safe(text: &str, limits: Limits) -> Cow<'_, str> {
    let most = match limits.max_chars {
        0 => usize::MAX,
        most => most,
    };
    let (whole, end) = pass(text, most, limits.keep_newlines);
    if end == text.len() {
        return whole;
    }
    let digits = text.chars().count().to_string().len();
    let reserve = "… ( more)".chars().count() + digits;
    if most <= reserve {
        let (part, _) = pass(text, most - 1, limits.keep_newlines);
        return Cow::Owned(part.into_owned() + "…");
    }
    let (part, end) = pass(text, most - reserve, limits.keep_newlines);
    let more = text[end..].chars().count();
    Cow::Owned(format!("{part}… ({more} more)"))
}

/// Goes through `text` until `budget` characters are shown; returns them and where it stopped.
fn pass(text: &str, budget: usize, keep_newlines: bool) -> (Cow<'_, str>, usize) {
    let mut out = String::new();
    let mut copied = 0;
    let mut left = budget;
    let mut scratch = String::new();
    for piece in Pieces::new(text) {
        scratch.clear();
        let shown = replace(&piece, keep_newlines, &mut scratch);
        let chars = match shown {
            true => scratch.chars().count(),
            false => piece.chars,
        };
        if chars > left {
            return (
                cut(text, &piece, shown, left, out, copied),
                stop(text, &piece, shown, left),
            );
        }
        left -= chars;
        if shown {
            if copied == 0 {
                out.reserve(text.len() + text.len() / 8);
            }
            out.push_str(&text[copied..piece.start]);
            out.push_str(&scratch);
            copied = piece.end;
        }
    }
    if copied == 0 {
        return (Cow::Borrowed(text), text.len());
    }
    out.push_str(&text[copied..]);
    (Cow::Owned(out), text.len())
}

/// Where the text stops when `piece` has no room: inside an ordinary run, before anything else.
fn stop(text: &str, piece: &Piece, replaced: bool, left: usize) -> usize {
    if replaced || piece.shown != Shown::AsItIs || left == 0 {
        return piece.start;
    }
    let run = &text[piece.start..piece.end];
    let bytes = run.char_indices().nth(left).map_or(run.len(), |(at, _)| at);
    piece.start + bytes
}

fn cut<'a>(
    text: &'a str,
    piece: &Piece,
    replaced: bool,
    left: usize,
    mut out: String,
    copied: usize,
) -> Cow<'a, str> {
    let end = stop(text, piece, replaced, left);
    if copied == 0 {
        return Cow::Borrowed(&text[..end]);
    }
    out.push_str(&text[copied..end]);
    Cow::Owned(out)
}

/// Writes what stands for `piece`; false where it stands for itself.
fn replace(piece: &Piece, keep_newlines: bool, out: &mut String) -> bool {
    match piece.shown {
        Shown::AsItIs | Shown::Together => return false,
        Shown::Newline | Shown::Tab if keep_newlines => return false,
        Shown::Newline => out.push('␊'),
        Shown::Tab => out.push(' '),
        Shown::Picture(picture) => out.push(picture),
        Shown::Mark(code) => push_mark(out, code),
        Shown::OnCircle(mark) => out.extend(['◌', mark]),
        Shown::Surplus => {
            // Writing to a String cannot fail.
            let _ = write!(out, "<+{} marks>", piece.chars);
        }
    }
    true
}

fn push_mark(out: &mut String, code: u32) {
    let _ = write!(out, "<U+{code:04X}>");
}

/// Decodes what Python calls UTF-8 with `surrogatepass`: every lone surrogate is handed to `on_surrogate`
/// (with its index in characters) and stands as whatever that returns. Other bad bytes become U+FFFD.
pub fn from_wtf8(bytes: &[u8], mut on_surrogate: impl FnMut(usize, u16) -> String) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut index = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let good = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        out.push_str(good);
        index += good.chars().count();
        rest = &rest[good.len()..];
        match rest {
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, tail @ ..] => {
                let code = 0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f);
                out.push_str(&on_surrogate(index, code));
                rest = tail;
                index += 1;
            }
            [_, tail @ ..] => {
                out.push('\u{fffd}');
                rest = tail;
                index += 1;
            }
            [] => {}
        }
    }
    out
}

/// The mark that stands for a lone surrogate.
pub fn surrogate_mark(code: u16) -> String {
    let mut out = String::new();
    push_mark(&mut out, u32::from(code));
    out
}

#[cfg(test)]
mod tests;
