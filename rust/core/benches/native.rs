//! What the native parts cost: `cargo bench`.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use o_core::text::{Limits, hidden, safe};
use o_core::vectors::{VectorIndex, embed};

fn main() {
    divan::main();
}

const TEXTS: [(&str, &str); 9] = [
    ("ascii", "The guardian holds.\n"),
    ("accents", "Die Wächter prüfen größere Änderungen. "),
    ("chinese", "守护者检查每一次更改。"),
    ("hindi", "संरक्षक हर बदलाव जाँचता है "),
    ("emoji", "👩\u{200d}👩\u{200d}👧 ok 👍🏽 "),
    ("hostile", "\u{1b}[31m\u{202e}x\u{200b}\u{9b}"),
    ("escapes", "\u{1b}"),
    ("marks", "\u{301}\u{200b}"),
    ("joiners", "ی\u{200c}"),
];

fn text(name: &str) -> String {
    let part = TEXTS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, part)| part);
    part.repeat(1_000_000 / part.len())
}

#[divan::bench(args = TEXTS.map(|(name, _)| name))]
fn safe_text(bencher: Bencher, name: &str) {
    let text = text(name);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| safe(black_box(&text), Limits::default()).len());
}

#[divan::bench(args = ["ascii", "chinese", "hostile"])]
fn hidden_characters(bencher: Bencher, name: &str) {
    let text = text(name);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| hidden(black_box(&text)).len());
}

#[divan::bench]
fn embed_200_characters(bencher: Bencher) {
    let text = "The guardian never runs agent code, and imports little. ".repeat(4);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| embed(black_box(&text), 256));
}

#[divan::bench(args = [1_000, 10_000, 100_000])]
fn top_10_of_256_dimensions(bencher: Bencher, rows: u64) {
    let vector = |id: u64| -> Vec<u8> {
        let numbers =
            embed(&format!("row number{id} of many{}", id * 7919), 256).unwrap_or_default();
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    };
    let Ok(mut index) = VectorIndex::new(256) else {
        return;
    };
    for id in 0..rows {
        if index.add(id, &vector(id)).is_err() {
            return;
        }
    }
    let query = vector(rows + 1);
    bencher
        .counter(ItemsCount::new(rows))
        .bench(|| index.search(black_box(&query), 10, None));
}
