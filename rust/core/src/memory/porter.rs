//! Porter's stemmer (1980) as SQLite's FTS5 has it: over bytes, words of 3 to 64 of them.
//!
//! Own and not a crate: `rust-stemmers` has only Porter's second algorithm and has rested since 2019; what FTS5 finds, we
//! are to find too.

const SHORTEST: usize = 3;
const LONGEST: usize = 64;

/// What must remain before an ending for it to go.
#[derive(Clone, Copy)]
enum Needs {
    /// One consonant after a vowel, at least.
    One,
    /// Two of those.
    Two,
    /// As `Two`, and an `s` or `t` at its end.
    TwoAfterSt,
}

/// Endings in the order in which they are tried; the first that fits decides, whether it goes or not.
type Endings = &'static [(&'static [u8], &'static [u8], Needs)];

const STEP_2: Endings = &[
    (b"ational", b"ate", Needs::One),
    (b"tional", b"tion", Needs::One),
    (b"enci", b"ence", Needs::One),
    (b"anci", b"ance", Needs::One),
    (b"izer", b"ize", Needs::One),
    (b"logi", b"log", Needs::One),
    (b"bli", b"ble", Needs::One),
    (b"alli", b"al", Needs::One),
    (b"entli", b"ent", Needs::One),
    (b"eli", b"e", Needs::One),
    (b"ousli", b"ous", Needs::One),
    (b"ization", b"ize", Needs::One),
    (b"ation", b"ate", Needs::One),
    (b"ator", b"ate", Needs::One),
    (b"alism", b"al", Needs::One),
    (b"iveness", b"ive", Needs::One),
    (b"fulness", b"ful", Needs::One),
    (b"ousness", b"ous", Needs::One),
    (b"aliti", b"al", Needs::One),
    (b"iviti", b"ive", Needs::One),
    (b"biliti", b"ble", Needs::One),
];
const STEP_3: Endings = &[
    (b"ical", b"ic", Needs::One),
    (b"ness", b"", Needs::One),
    (b"icate", b"ic", Needs::One),
    (b"iciti", b"ic", Needs::One),
    (b"ful", b"", Needs::One),
    (b"ative", b"", Needs::One),
    (b"alize", b"al", Needs::One),
];
const STEP_4: Endings = &[
    (b"al", b"", Needs::Two),
    (b"ance", b"", Needs::Two),
    (b"ence", b"", Needs::Two),
    (b"er", b"", Needs::Two),
    (b"ic", b"", Needs::Two),
    (b"able", b"", Needs::Two),
    (b"ible", b"", Needs::Two),
    (b"ement", b"", Needs::Two),
    (b"ment", b"", Needs::Two),
    (b"ant", b"", Needs::Two),
    (b"ent", b"", Needs::Two),
    (b"ion", b"", Needs::TwoAfterSt),
    (b"ou", b"", Needs::Two),
    (b"ism", b"", Needs::Two),
    (b"ate", b"", Needs::Two),
    (b"iti", b"", Needs::Two),
    (b"ous", b"", Needs::Two),
    (b"ive", b"", Needs::Two),
    (b"ize", b"", Needs::Two),
];

/// Makes a word, folded to lower case already, its stem.
pub(super) fn stem(word: &mut Vec<u8>) {
    if !(SHORTEST..=LONGEST).contains(&word.len()) {
        return;
    }
    plural(word);
    past(word);
    if word.len() > 1 && word.ends_with(b"y") && has_vowel(&word[..word.len() - 1]) {
        replace(word, 1, b"i");
    }
    for endings in [STEP_2, STEP_3, STEP_4] {
        strip(word, endings);
    }
    last_e(word);
    if word.ends_with(b"ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

fn replace(word: &mut Vec<u8>, cut: usize, by: &[u8]) {
    word.truncate(word.len() - cut);
    word.extend_from_slice(by);
}

/// The word without `ending`, where it has that one and something before it.
fn before<'a>(word: &'a [u8], ending: &[u8]) -> Option<&'a [u8]> {
    word.strip_suffix(ending).filter(|rest| !rest.is_empty())
}

fn plural(word: &mut Vec<u8>) {
    let Some(rest) = word.strip_suffix(b"s") else {
        return;
    };
    let cut = match rest {
        [.., b's'] => 0,
        [_, .., b's', b's', b'e'] | [_, .., b'i', b'e'] => 2,
        _ => 1,
    };
    replace(word, cut, b"");
}

fn past(word: &mut Vec<u8>) {
    if let Some(rest) = before(word, b"eed") {
        if measure(rest) > 0 {
            replace(word, 1, b"");
        }
        return;
    }
    for ending in [b"ed".as_slice(), b"ing"] {
        if let Some(rest) = before(word, ending) {
            if has_vowel(rest) {
                replace(word, ending.len(), b"");
                tidy(word);
            }
            return;
        }
    }
}

/// After `ed` or `ing` has gone: `hoping` was `hope`, `hopping` was `hop`.
fn tidy(word: &mut Vec<u8>) {
    if [b"at".as_slice(), b"bl", b"iz"]
        .iter()
        .any(|ending| before(word, ending).is_some())
    {
        word.push(b'e');
        return;
    }
    match word.as_slice() {
        [.., a, b] if a == b && !is_vowel(*b, false) && !b"lsz".contains(b) => {
            word.pop();
        }
        _ if measure(word) == 1 && ends_short(word) => word.push(b'e'),
        _ => {}
    }
}

fn strip(word: &mut Vec<u8>, endings: Endings) {
    let last = word.last().copied();
    for (ending, by, needs) in endings {
        // Most words end with none of them: to compare one letter tells that soon.
        if ending.last().copied() != last {
            continue;
        }
        if let Some(rest) = before(word, ending) {
            let goes = match needs {
                Needs::One => measure(rest) > 0,
                Needs::Two => measure(rest) > 1,
                Needs::TwoAfterSt => {
                    measure(rest) > 1 && (rest.ends_with(b"s") || rest.ends_with(b"t"))
                }
            };
            if goes {
                replace(word, ending.len(), by);
            }
            return;
        }
    }
}

fn last_e(word: &mut Vec<u8>) {
    if let Some(rest) = word.strip_suffix(b"e") {
        let much = measure(rest);
        if much > 1 || (much == 1 && !ends_short(rest)) {
            word.pop();
        }
    }
}

fn is_vowel(letter: u8, y_is_one: bool) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u') || (y_is_one && letter == b'y')
}

/// For each letter whether it is a vowel: `y` is one after a consonant.
fn vowels(word: &[u8]) -> impl Iterator<Item = bool> + '_ {
    word.iter().scan(false, |after_consonant, letter| {
        let vowel = is_vowel(*letter, *after_consonant);
        *after_consonant = !vowel;
        Some(vowel)
    })
}

fn has_vowel(word: &[u8]) -> bool {
    vowels(word).any(|vowel| vowel)
}

/// How many times a consonant follows a vowel.
fn measure(word: &[u8]) -> usize {
    let mut before = false;
    vowels(word)
        .filter(|vowel| std::mem::replace(&mut before, *vowel) && !vowel)
        .count()
}

/// Consonant, vowel, consonant, and the last is none of `w`, `x`, `y`.
fn ends_short(word: &[u8]) -> bool {
    let mut last = [true, false, true];
    for vowel in vowels(word) {
        last = [last[1], last[2], vowel];
    }
    word.len() > 2
        && last == [false, true, false]
        && !matches!(word.last(), Some(b'w' | b'x' | b'y'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_paper() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("sky", "sky"),
            ("relational", "relat"),
            ("vietnamization", "vietnam"),
            ("triplicate", "triplic"),
            ("goodness", "good"),
            ("adjustment", "adjust"),
            ("adoption", "adopt"),
            ("probate", "probat"),
            ("cease", "ceas"),
            ("controlling", "control"),
            ("as", "as"),
        ] {
            let mut stemmed = word.as_bytes().to_vec();
            stem(&mut stemmed);
            assert_eq!(String::from_utf8(stemmed).unwrap(), expected, "of {word}");
        }
    }
}
