//! What a character does when it is shown.

use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

pub(super) const ZWNJ: char = '\u{200c}';
pub(super) const ZWJ: char = '\u{200d}';
pub(super) const VS15: char = '\u{fe0e}';
pub(super) const VS16: char = '\u{fe0f}';
pub(super) const KEYCAP: char = '\u{20e3}';
pub(super) const BLACK_FLAG: char = '\u{1f3f4}';

/// The only flags that are spelt with tags: England, Scotland, Wales (RGI).
pub(super) const TAGGED_FLAGS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Shown as it is.
    Plain,
    /// Line feed.
    Newline,
    /// Tab.
    Tab,
    /// C0 and DEL: has a picture.
    Control,
    /// Drawn over what stands before it.
    Combining,
    /// A mark that has a width of its own.
    Spacing,
    /// ZWJ, ZWNJ, VS15, VS16 and the black flag: it depends on the neighbours.
    Contextual,
    /// Always written out.
    Hidden,
}

/// ASCII that is never touched.
pub(super) fn is_ordinary_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}

/// How many bytes at the start of `bytes` are ordinary ASCII.
pub(super) fn ordinary_run(bytes: &[u8]) -> usize {
    const STEP: usize = 32;
    let mut at = 0;
    for chunk in bytes.chunks_exact(STEP) {
        // No early exit inside the chunk: this is what becomes SIMD.
        let odd = chunk
            .iter()
            .fold(0u8, |odd, byte| odd | u8::from(!is_ordinary_byte(*byte)));
        if odd != 0 {
            break;
        }
        at += STEP;
    }
    at + bytes[at..]
        .iter()
        .take_while(|byte| is_ordinary_byte(**byte))
        .count()
}

pub(super) fn class(c: char) -> Class {
    match c as u32 {
        0x0a => Class::Newline,
        0x09 => Class::Tab,
        0x00..=0x1f | 0x7f => Class::Control,
        0x80..=0x9f | 0xad => Class::Hidden,
        // Blocks without marks and without anything invisible, so that ordinary text needs no table.
        0x20..=0x2ff
        | 0x370..=0x482
        | 0x48a..=0x590
        | 0x1e00..=0x1fff
        | 0x2010..=0x2027
        | 0x2030..=0x205e
        | 0x2070..=0x20cf
        | 0x2100..=0x2bff
        | 0x3000..=0x3029
        | 0x3030..=0x3098
        | 0x309b..=0x3163
        | 0x3165..=0xa66e
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xff01..=0xff9f
        | 0x1f000..=0x1f3f3
        | 0x1f3f5..=0x1faff
        | 0x20000..=0x2fffd => Class::Plain,
        0x200c | 0x200d | 0xfe0e | 0xfe0f | 0x1f3f4 => Class::Contextual,
        _ => rare(c),
    }
}

fn rare(c: char) -> Class {
    if is_invisible(c) {
        return Class::Hidden;
    }
    // Vowels and finals of Hangul are letters, but are drawn into the syllable before them.
    if matches!(c as u32, 0x1161..=0x11ff | 0xd7b0..=0xd7ff) {
        return Class::Combining;
    }
    match c.general_category() {
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => Class::Combining,
        GeneralCategory::SpacingMark => Class::Spacing,
        GeneralCategory::Format if !is_prepended(c) => Class::Hidden,
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Class::Hidden,
        _ => Class::Plain,
    }
}

/// Default ignorable and blank characters that are not of the category Format, and noncharacters.
fn is_invisible(c: char) -> bool {
    let code = c as u32;
    matches!(
        code,
        0x34f // combining grapheme joiner
        | 0x115f | 0x1160 | 0x3164 | 0xffa0 // Hangul fillers
        | 0x17b4 | 0x17b5 // Khmer inherent vowels
        | 0x180b..=0x180f // Mongolian selectors
        | 0x2028..=0x202e | 0x2060..=0x206f
        | 0xfdd0..=0xfdef // noncharacters
        | 0xfe00..=0xfe0f // variation selectors
        | 0xfff0..=0xfffb // reserved, interlinear annotation
        | 0x16fe4 // Khitan filler
        | 0x1d159 // null notehead
        | 0xe0000..=0xe0fff // tags, selectors, reserved
    ) || code & 0xfffe == 0xfffe
}

/// Format characters that are drawn around what follows them (Arabic number signs and the like).
fn is_prepended(c: char) -> bool {
    matches!(
        c as u32,
        0x600..=0x605 | 0x6dd | 0x70f | 0x890 | 0x891 | 0x8e2 | 0x110bd | 0x110cd
    )
}

/// Whether VS15 or VS16 may follow `c`, and ZWJ may join it.
pub(super) fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

/// Whether `c` is the sign that joins Indic consonants, after which ZWJ and ZWNJ are spelling.
pub(super) fn is_virama(c: char) -> bool {
    const VIRAMA: u8 = 9;
    unicode_normalization::char::canonical_combining_class(c) == VIRAMA
}

pub(super) fn is_arabic(c: char) -> bool {
    c.is_alphabetic() && matches!(c.script(), Script::Arabic)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks that [`class`] calls plain without asking a table hold nothing that the table would not call plain.
    #[test]
    fn the_short_cuts_agree_with_the_tables() {
        for c in ('\u{a0}'..=char::MAX).filter(|c| class(*c) == Class::Plain) {
            assert_eq!(rare(c), Class::Plain, "U+{:04X}", c as u32);
        }
    }

    #[test]
    fn runs_end_at_the_first_odd_byte() {
        for odd in [b'\n', 0x1b, 0x7f, 0xc3] {
            for length in 0..100 {
                let mut bytes = vec![b'a'; length];
                bytes.push(odd);
                bytes.extend([b'z'; 40]);
                assert_eq!(ordinary_run(&bytes), length);
            }
        }
    }
}
