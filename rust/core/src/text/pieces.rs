//! A text cut into pieces, each shown in one way.

use super::MARKS_ON_A_BASE;
use super::classes::{
    BLACK_FLAG, Class, KEYCAP, TAGGED_FLAGS, VS15, VS16, ZWJ, ZWNJ, class, is_arabic, is_emoji,
    is_ordinary_byte, is_virama, ordinary_run,
};

/// How a piece is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it is; may be cut anywhere.
    AsItIs,
    /// As it is, but never cut.
    Together,
    /// A line feed.
    Newline,
    /// A tab.
    Tab,
    /// One control character, as its picture.
    Picture(char),
    /// One character, as `<U+202E>`.
    Mark(u32),
    /// A combining mark without a base, on a dotted circle.
    OnCircle(char),
    /// Combining marks beyond the limit, as `<+12 marks>`.
    Surplus,
}

/// A part of a text: bytes `start..end`, `chars` characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub start: usize,
    pub end: usize,
    pub chars: usize,
    pub shown: Shown,
}

/// Iterates over the pieces of a text; together they are the whole text, in order.
pub(super) struct Pieces<'a> {
    text: &'a str,
    at: usize,
    /// The character before `at` where it is drawn; None at the start, after a line feed and after a mark of ours.
    before: Option<char>,
    /// Combining marks on the base that is before `at`.
    marks: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(text: &'a str) -> Self {
        Pieces {
            text,
            at: 0,
            before: None,
            marks: 0,
        }
    }

    fn piece(&mut self, bytes: usize, chars: usize, shown: Shown, before: Option<char>) -> Piece {
        let start = self.at;
        self.at += bytes;
        self.before = before;
        Piece {
            start,
            end: self.at,
            chars,
            shown,
        }
    }

    fn one(&mut self, c: char, shown: Shown, before: Option<char>) -> Piece {
        self.marks = 0;
        self.piece(c.len_utf8(), 1, shown, before)
    }

    fn written_out(&mut self, c: char) -> Piece {
        self.one(c, Shown::Mark(c as u32), None)
    }

    /// Ordinary characters, as many as there are.
    fn plain(&mut self) -> Piece {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let (mut end, mut chars, mut last) = (0, 0, None);
        loop {
            let run = ordinary_run(&bytes[end..]);
            if run > 0 {
                end += run;
                chars += run;
                last = Some(char::from(bytes[end - 1]));
            }
            let more = rest[end..].chars().take_while(|c| {
                !(c.is_ascii() && is_ordinary_byte(*c as u8)) && class(*c) == Class::Plain
            });
            let from = end;
            for c in more {
                end += c.len_utf8();
                chars += 1;
                last = Some(c);
            }
            if end == from {
                break;
            }
        }
        self.marks = 0;
        self.piece(end, chars, Shown::AsItIs, last)
    }

    fn combining(&mut self, c: char) -> Piece {
        if self.before.is_none() {
            let piece = self.one(c, Shown::OnCircle(c), Some(c));
            self.marks = 1;
            return piece;
        }
        self.marks += 1;
        if self.marks <= MARKS_ON_A_BASE {
            return self.piece(c.len_utf8(), 1, Shown::AsItIs, Some(c));
        }
        let (mut bytes, mut chars) = (0, 0);
        for mark in self.text[self.at..]
            .chars()
            .take_while(|c| class(*c) == Class::Combining)
        {
            bytes += mark.len_utf8();
            chars += 1;
        }
        self.marks = 0;
        self.piece(bytes, chars, Shown::Surplus, None)
    }

    fn contextual(&mut self, c: char) -> Piece {
        let after = self.text[self.at + c.len_utf8()..].chars().next();
        match c {
            BLACK_FLAG => self.flag(),
            VS15 | VS16 => {
                let on_emoji = self.before.is_some_and(is_emoji);
                let in_keycap = c == VS16
                    && after == Some(KEYCAP)
                    && self
                        .before
                        .is_some_and(|b| b.is_ascii_digit() || b == '#' || b == '*');
                match on_emoji || in_keycap {
                    true => self.one(c, Shown::AsItIs, Some(c)),
                    false => self.written_out(c),
                }
            }
            ZWJ => self.joiner(after),
            _ if self.is_spelling(c, after) => self.piece(c.len_utf8(), 1, Shown::AsItIs, Some(c)),
            _ => self.written_out(c),
        }
    }

    fn flag(&mut self) -> Piece {
        let tags = &self.text[self.at + BLACK_FLAG.len_utf8()..];
        self.marks = 0;
        match TAGGED_FLAGS.iter().find(|flag| tags.starts_with(**flag)) {
            Some(flag) => {
                let bytes = BLACK_FLAG.len_utf8() + flag.len();
                self.piece(
                    bytes,
                    1 + flag.chars().count(),
                    Shown::Together,
                    Some(BLACK_FLAG),
                )
            }
            None => self.one(BLACK_FLAG, Shown::AsItIs, Some(BLACK_FLAG)),
        }
    }

    fn joiner(&mut self, after: Option<char>) -> Piece {
        let joins = self.before.is_some_and(|b| b == VS16 || is_emoji(b));
        match after {
            Some(next) if joins && is_emoji(next) && next != BLACK_FLAG => {
                self.marks = 0;
                self.piece(
                    ZWJ.len_utf8() + next.len_utf8(),
                    2,
                    Shown::Together,
                    Some(next),
                )
            }
            _ if self.is_spelling(ZWJ, after) => {
                self.piece(ZWJ.len_utf8(), 1, Shown::AsItIs, Some(ZWJ))
            }
            _ => self.written_out(ZWJ),
        }
    }

    /// RFC 5892, CONTEXTJ, the part that real words need.
    fn is_spelling(&self, c: char, after: Option<char>) -> bool {
        let (Some(before), Some(after)) = (self.before, after) else {
            return false;
        };
        (is_virama(before) && after.is_alphabetic())
            || (c == ZWNJ && is_arabic(before) && is_arabic(after))
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let c = self.text[self.at..].chars().next()?;
        Some(match class(c) {
            Class::Plain => self.plain(),
            Class::Newline => self.one(c, Shown::Newline, None),
            Class::Tab => self.one(c, Shown::Tab, Some(' ')),
            Class::Control => {
                let picture = match c {
                    '\u{7f}' => '\u{2421}',
                    _ => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
                };
                self.one(c, Shown::Picture(picture), None)
            }
            Class::Combining => self.combining(c),
            Class::Spacing if self.before.is_none() => self.one(c, Shown::OnCircle(c), Some(c)),
            Class::Spacing => self.piece(c.len_utf8(), 1, Shown::AsItIs, Some(c)),
            Class::Contextual => self.contextual(c),
            Class::Hidden => self.written_out(c),
        })
    }
}
