//! A text as terms: its words folded, stemmed and hashed.
//!
//! Folding is that of FTS5's `unicode61`: runs of letters and digits, in lower case, without diacritics. Where words are
//! not written apart (ideographs, kana, Hangul) each pair of neighbours is a term, which FTS5 does not do. A term is
//! kept as 64 bits of a hash: among a million words the chance that any two share one is below one in ten million.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::porter;

/// Only so many bytes of a text are read.
const READ_BYTES: usize = 256 * 1024;
const FIRST_WIDE: char = '\u{2e80}';

/// Calls `found` with each term of `text`, in order.
pub(super) fn terms(text: &str, mut found: impl FnMut(u64)) {
    let mut end = text.len().min(READ_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut word = Vec::with_capacity(32);
    for run in
        text[..end].split(|c: char| !c.is_alphanumeric() && canonical_combining_class(c) == 0)
    {
        if run.is_empty() {
            continue;
        }
        if run.is_ascii() {
            word.clear();
            word.extend(run.bytes().map(|byte| byte.to_ascii_lowercase()));
            porter::stem(&mut word);
            found(hash(&word));
        } else {
            folded(run, &mut word, &mut found);
        }
    }
}

/// A run that is not ASCII: what is written apart is one word, what is not goes in pairs.
fn folded(run: &str, word: &mut Vec<u8>, found: &mut impl FnMut(u64)) {
    let letters: Vec<char> = run
        .nfd()
        .filter(|c| canonical_combining_class(*c) == 0)
        .nfc()
        .flat_map(char::to_lowercase)
        .collect();
    for part in letters.chunk_by(|a, b| (*a >= FIRST_WIDE) == (*b >= FIRST_WIDE)) {
        let wide = part[0] >= FIRST_WIDE;
        for piece in part.windows(if wide { part.len().min(2) } else { part.len() }) {
            let text: String = piece.iter().collect();
            word.clear();
            word.extend_from_slice(text.as_bytes());
            if !wide {
                porter::stem(word);
            }
            found(hash(word));
        }
    }
}

/// FNV-1a, and the finaliser of MurmurHash3: the same on every machine.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<u64> {
        let mut every = Vec::new();
        terms(text, |term| every.push(term));
        every
    }

    #[test]
    fn case_accents_and_endings_do_not_matter() {
        assert_eq!(all("Painting CAFÉS, naïve!"), all("painted cafe naive"));
        assert_eq!(all("cafe\u{301}"), all("café"));
        assert_ne!(all("cat"), all("dog"));
        assert_eq!(all(" … !? "), []);
    }

    #[test]
    fn what_is_not_written_apart_goes_in_pairs() {
        assert_eq!(all("東京都").len(), 2);
        assert_eq!(all("東京都")[0], all("東京")[0]);
        assert_eq!(all("木").len(), 1);
        assert_eq!(all("v2東京").len(), 2);
    }

    #[test]
    fn long_texts_are_read_to_a_limit() {
        assert_eq!(all(&"ä ".repeat(READ_BYTES)).len(), READ_BYTES / 3);
    }
}
