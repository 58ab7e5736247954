use super::*;

fn shown(text: &str) -> String {
    safe(text, Limits::default()).into_owned()
}

fn line(text: &str, max_chars: usize) -> String {
    let limits = Limits {
        max_chars,
        keep_newlines: false,
    };
    safe(text, limits).into_owned()
}

fn names(text: &str) -> Vec<(usize, String)> {
    hidden(text)
        .into_iter()
        .map(|found| (found.index, found.name))
        .collect()
}

#[test]
fn ordinary_text_is_borrowed() {
    let texts = [
        "",
        "plain\n\ttext",
        "Zürich, naïve café, Ångström",
        "cafe\u{301} in two code points",
        "Привет, мир",
        "中文 日本語 한국어 \u{1112}\u{1161}\u{11ab}",
        "हिन्दी ไทย العربية עברית",
        "မြွေ ကျွန်ုပ်",
        "می\u{200c}خواهم",
        "क्\u{200d}ष",
        "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}\u{200d}🔥 🏳\u{fe0f}\u{200d}🌈 🧑🏽\u{200d}🚀 1\u{fe0f}\u{20e3} 🇨🇭",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} 🏴\u{200d}☠\u{fe0f}",
    ];
    for text in texts {
        assert!(
            matches!(safe(text, Limits::default()), Cow::Borrowed(same) if same == text),
            "{text:?}"
        );
        assert_eq!(names(text), [], "{text:?}");
    }
}

#[test]
fn controls_become_pictures() {
    assert_eq!(shown("\u{1b}[31mred\u{7}\r\n\0\u{7f}"), "␛[31mred␇␍\n␀␡");
    assert_eq!(
        shown("\u{9b}31m\u{85}\u{2028}"),
        "<U+009B>31m<U+0085><U+2028>"
    );
    assert_eq!(line("a\n\tb", 0), "a␊ b");
}

#[test]
fn what_cannot_be_seen_is_written_out() {
    for c in "\u{202e}\u{2066}\u{200b}\u{200d}\u{ad}\u{feff}\u{3164}\u{115f}\u{fff9}\u{e0041}\u{fe00}\u{e0100}\u{34f}\u{180e}\u{61c}\u{fdd0}\u{10ffff}"
        .chars()
    {
        assert_eq!(shown(&format!("a{c}b")), format!("a<U+{:04X}>b", c as u32));
        assert_eq!(names(&format!("a{c}b")).len(), 1, "U+{:04X}", c as u32);
    }
}

#[test]
fn emoji_parts_out_of_place() {
    assert_eq!(shown("👩\u{200d}x"), "👩<U+200D>x");
    assert_eq!(shown("👩\u{200d}\u{200d}👧"), "👩<U+200D><U+200D>👧");
    assert_eq!(shown("❤\u{fe0f}\u{fe0f}"), "❤\u{fe0f}<U+FE0F>");
    assert_eq!(shown("1\u{fe0e}2\u{fe0f}"), "1<U+FE0E>2<U+FE0F>");
    assert_eq!(shown("🏴\u{e0061}\u{e007f}"), "🏴<U+E0061><U+E007F>");
    assert_eq!(shown("a\u{200c}b"), "a<U+200C>b");
}

#[test]
fn piles_of_marks_are_capped() {
    let pile = format!("e{}x", "\u{301}".repeat(20));
    assert_eq!(
        shown(&pile),
        format!("e{}<+16 marks>x", "\u{301}".repeat(4))
    );
    assert_eq!(
        names(&pile),
        [(5, "16 marks too many on one letter".to_owned())]
    );
    assert_eq!(shown("\u{301}a"), "◌\u{301}a");
    assert_eq!(shown("a\n\u{301}"), "a\n◌\u{301}");
    assert_eq!(
        names("\u{301}a"),
        [(0, "U+0301 COMBINING MARK without a letter".to_owned())]
    );
    assert_eq!(
        shown(&"\u{1161}".repeat(9)),
        "◌\u{1161}\u{1161}\u{1161}\u{1161}<+5 marks>"
    );
    // A fresh mark of ours is no base either.
    let long = format!("e{}\u{200b}\u{338}", "\u{301}".repeat(5));
    assert_eq!(
        shown(&long),
        format!("e{}<+1 marks><U+200B>◌\u{338}", "\u{301}".repeat(4))
    );
}

#[test]
fn cuts_are_shown_and_the_limit_holds() {
    assert_eq!(line("abcdef", 6), "abcdef");
    assert_eq!(
        line(&"a".repeat(100), 20),
        format!("{}… (92 more)", "a".repeat(8))
    );
    assert_eq!(line("abcdef", 3), "ab…");
    assert_eq!(line("abc", 1), "…");
    assert_eq!(line("👩\u{200d}👧👩\u{200d}👧", 5), "👩\u{200d}👧👩…");
    let texts = [
        "\u{1b}\u{9b}".repeat(50),
        "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}".repeat(30),
        "👩\u{200d}👧".repeat(40),
        "\n\t\u{301}".repeat(40),
    ];
    for text in &texts {
        for most in 1..120 {
            let cut = line(text, most);
            assert!(cut.chars().count() <= most, "{most}: {cut}");
            if let Some((_, tail)) = cut.split_once("… (") {
                let more: usize = tail.trim_end_matches(" more)").parse().unwrap();
                assert!(more > 0 && more <= text.chars().count());
            }
        }
    }
}

#[test]
fn a_cut_counts_what_is_not_shown() {
    let text = format!("{}\u{1b}{}", "a".repeat(10), "b".repeat(989));
    let cut = line(&text, 30);
    assert_eq!(
        cut,
        format!("{}␛{}… (983 more)", "a".repeat(10), "b".repeat(6))
    );
}

#[test]
fn nothing_foreign_survives_any_character() {
    for c in '\0'..=char::MAX {
        let out = line(&format!("a{c}b\u{200d}{c}"), 0);
        assert!(!out.chars().any(|o| o.is_control()), "U+{:04X}", c as u32);
        assert_eq!(line(&out, 0), out, "U+{:04X} twice", c as u32);
    }
}

#[test]
fn pieces_are_the_whole_text() {
    let text = "a\u{301}\u{1b}👩\u{200d}👧\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\n🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    let mut at = 0;
    for piece in Pieces::new(text) {
        assert_eq!(piece.start, at);
        assert_eq!(text[piece.start..piece.end].chars().count(), piece.chars);
        at = piece.end;
    }
    assert_eq!(at, text.len());
}

#[test]
fn hidden_names_and_places() {
    assert_eq!(names("if a:\r\n\treturn"), []);
    assert_eq!(
        names("x = \u{202e}1"),
        [(4, "U+202E RIGHT-TO-LEFT OVERRIDE".to_owned())]
    );
    assert_eq!(names("a\rb"), [(1, "U+000D CARRIAGE RETURN".to_owned())]);
    assert_eq!(
        names("\u{2800}"),
        [(0, "U+2800 BRAILLE PATTERN BLANK".to_owned())]
    );
}

#[test]
fn letters_that_look_like_others() {
    assert_eq!(
        names("def p\u{430}y():"),
        [(5, "U+0430 Cyrillic letter that looks like \"a\"".to_owned())]
    );
    assert_eq!(names("\u{441}\u{43e}\u{440}\u{443} = 1").len(), 4);
    assert_eq!(names("\u{445} = 1").len(), 1);
    assert_eq!(names("это \u{430} и \u{441} ним"), []);
    assert_eq!(names("ΔT = 3 μm, naïve, Straße, 日本語text"), []);
    assert_eq!(
        names("\u{1d41e}val(x)"),
        [(0, "U+1D41E is read as \"e\"".to_owned())]
    );
}

#[test]
fn lone_surrogates() {
    let mut seen = Vec::new();
    let text = from_wtf8(b"a\xed\xa0\xbdb\xff\xed\xb0\x80", |index, code| {
        seen.push((index, code));
        surrogate_mark(code)
    });
    assert_eq!(text, "a<U+D83D>b\u{fffd}<U+DC00>");
    assert_eq!(seen, [(1, 0xd83d), (4, 0xdc00)]);
}
