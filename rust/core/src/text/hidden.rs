//! What a reviewer would not see: invisible characters, and letters that look like others.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};
use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

use super::pieces::{Pieces, Shown};

/// Something in a text that does not show, or not as what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which character of the text, counted from 0.
    pub index: usize,
    /// What it is, as a reviewer reads it: `U+202E RIGHT-TO-LEFT OVERRIDE`.
    pub name: String,
}

/// Everything in `text` that deceives: what [`super::safe`] would not keep (except line feeds, tabs, and the
/// carriage return of a CRLF), blanks that look like nothing, and in identifiers (runs of letters, digits and
/// `_`) letters that look like Latin ones or that a compiler reads as other ones.
pub fn hidden(text: &str) -> Vec<Finding> {
    let mut found = invisible(text);
    if !text.is_ascii() {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            lookalikes(line, start, &mut found);
            start += line.chars().count();
        }
        found.sort();
    }
    found
}

fn invisible(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut index = 0;
    for piece in Pieces::new(text) {
        let here = text[piece.start..].chars().next().unwrap_or_default();
        let name = match piece.shown {
            Shown::Picture('␍') if text[piece.end..].starts_with('\n') => None,
            Shown::Picture(_) | Shown::Mark(_) => Some(named(here)),
            Shown::Surplus => Some(format!("{} marks too many on one letter", piece.chars)),
            Shown::OnCircle(_) => Some(format!(
                "U+{:04X} COMBINING MARK without a letter",
                here as u32
            )),
            Shown::AsItIs | Shown::Together | Shown::Newline | Shown::Tab => None,
        };
        found.extend(name.map(|name| Finding { index, name }));
        if piece.shown == Shown::AsItIs {
            let blanks = text[piece.start..piece.end].chars().enumerate();
            found.extend(
                blanks
                    .filter(|(_, c)| *c == '\u{2800}')
                    .map(|(at, c)| Finding {
                        index: index + at,
                        name: named(c),
                    }),
            );
        }
        index += piece.chars;
    }
    found
}

/// The code point and, where it is a known trickster, its name.
fn named(c: char) -> String {
    let code = c as u32;
    let name = match code {
        0x1b => "ESCAPE",
        0x0d => "CARRIAGE RETURN",
        0x08 => "BACKSPACE",
        0x07 => "BELL",
        0x00..=0x1f | 0x7f => "CONTROL CHARACTER",
        0x85 => "NEXT LINE",
        0x90 => "DEVICE CONTROL STRING",
        0x9b => "CONTROL SEQUENCE INTRODUCER",
        0x9d => "OPERATING SYSTEM COMMAND",
        0x80..=0x9f => "CONTROL CHARACTER",
        0xad => "SOFT HYPHEN",
        0x34f => "COMBINING GRAPHEME JOINER",
        0x61c => "ARABIC LETTER MARK",
        0x115f | 0x1160 | 0x3164 | 0xffa0 => "HANGUL FILLER",
        0x200b => "ZERO WIDTH SPACE",
        0x200c => "ZERO WIDTH NON-JOINER",
        0x200d => "ZERO WIDTH JOINER",
        0x200e => "LEFT-TO-RIGHT MARK",
        0x200f => "RIGHT-TO-LEFT MARK",
        0x2028 => "LINE SEPARATOR",
        0x2029 => "PARAGRAPH SEPARATOR",
        0x202a => "LEFT-TO-RIGHT EMBEDDING",
        0x202b => "RIGHT-TO-LEFT EMBEDDING",
        0x202c => "POP DIRECTIONAL FORMATTING",
        0x202d => "LEFT-TO-RIGHT OVERRIDE",
        0x202e => "RIGHT-TO-LEFT OVERRIDE",
        0x2060 => "WORD JOINER",
        0x2061..=0x2064 => "INVISIBLE OPERATOR",
        0x2066 => "LEFT-TO-RIGHT ISOLATE",
        0x2067 => "RIGHT-TO-LEFT ISOLATE",
        0x2068 => "FIRST STRONG ISOLATE",
        0x2069 => "POP DIRECTIONAL ISOLATE",
        0x2800 => "BRAILLE PATTERN BLANK",
        0xfe00..=0xfe0f | 0xe0100..=0xe01ef | 0x180b..=0x180f => "VARIATION SELECTOR",
        0xfeff => "BYTE ORDER MARK",
        0xfff9..=0xfffb => "INTERLINEAR ANNOTATION",
        0xe0000..=0xe007f => "TAG CHARACTER",
        _ => "INVISIBLE CHARACTER",
    };
    format!("U+{code:04X} {name}")
}

fn is_identifier(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.general_category() == GeneralCategory::DecimalNumber
}

/// Looks at every identifier of one line; `start` is the index of its first character.
fn lookalikes(line: &str, start: usize, found: &mut Vec<Finding>) {
    if line.is_ascii() {
        return;
    }
    let honest = honest_scripts(line);
    let mut index = start;
    for word in line.split_inclusive(|c: char| !is_identifier(c)) {
        let name = word.trim_end_matches(|c: char| !is_identifier(c));
        if !name.is_ascii() {
            look_at(name, index, &honest, found);
        }
        index += word.chars().count();
    }
}

/// Scripts that show themselves in the line by a letter which is not like a Latin one: then a short word that
/// is like a Latin word is most likely just a word.
fn honest_scripts(line: &str) -> Vec<Script> {
    let mut scripts = Vec::new();
    for c in line.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()) {
        let script = c.script();
        if !scripts.contains(&script) && latin_twin(c).is_none() {
            scripts.push(script);
        }
    }
    scripts
}

fn look_at(name: &str, start: usize, honest: &[Script], found: &mut Vec<Finding>) {
    let mixed = !name.is_single_script();
    let letters = || name.chars().filter(|c| c.is_alphabetic());
    let twins = !letters().any(|c| c.is_ascii() || latin_twin(c).is_none());
    let short = letters().nth(1).is_none();
    let disguised = twins
        && letters().all(is_other_script)
        && !(short && letters().any(|c| honest.contains(&c.script())));
    for (at, c) in name.chars().enumerate().filter(|(_, c)| !c.is_ascii()) {
        let code = c as u32;
        let what = if let Some(plain) = compatible(c) {
            format!("U+{code:04X} is read as {plain:?}")
        } else if let Some(twin) =
            latin_twin(c).filter(|_| (mixed || disguised) && is_other_script(c))
        {
            format!(
                "U+{code:04X} {} letter that looks like {twin:?}",
                c.script().full_name()
            )
        } else {
            continue;
        };
        found.push(Finding {
            index: start + at,
            name: what,
        });
    }
}

fn is_other_script(c: char) -> bool {
    !matches!(
        c.script(),
        Script::Latin | Script::Common | Script::Inherited
    )
}

/// The ASCII that a letter looks like, if it does (UTS 39).
fn latin_twin(c: char) -> Option<String> {
    let twin: String = skeleton(c.encode_utf8(&mut [0; 4])).collect();
    (!twin.is_empty() && twin.chars().all(|t| t.is_ascii_alphanumeric())).then_some(twin)
}

/// The ASCII that a compiler which normalises names (Python: NFKC) makes of a letter, if it does.
fn compatible(c: char) -> Option<String> {
    let plain: String = std::iter::once(c).nfkc().collect();
    (!plain.is_empty() && plain.chars().all(|p| p.is_ascii_alphanumeric() || p == '_'))
        .then_some(plain)
}
