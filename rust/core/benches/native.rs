//! What the native parts cost: `cargo bench`.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use o_core::codec;
use o_core::memory::{Fields, MemoryIndex, Weights};
use o_core::text::{Limits, hidden, safe};
use o_core::vectors::{FirstPass, Search, VectorIndex, embed};

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

const PASSES: [(&str, FirstPass); 4] = [
    ("exact", FirstPass::Exact),
    ("certified", FirstPass::Certified),
    ("bfloat16", FirstPass::Bfloat16),
    ("binary", FirstPass::Binary),
];

fn vector(number: u64) -> Vec<u8> {
    let text = format!("row number{number} of many{}", number * 7919);
    let numbers = embed(&text, 256).unwrap_or_default();
    numbers.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// An index of so many rows with the codes of every first pass.
fn index(rows: u64) -> Option<VectorIndex> {
    let mut index = VectorIndex::new(256).ok()?;
    for id in 0..rows {
        index.add(id, &vector(id)).ok()?;
    }
    for (_, first_pass) in PASSES {
        index.prepare(first_pass).ok()?;
    }
    Some(index)
}

#[divan::bench(args = PASSES.map(|(name, _)| name), consts = [1_000, 10_000, 100_000])]
fn top_10_of_256_dimensions<const ROWS: u64>(bencher: Bencher, name: &str) {
    let pass = PASSES.iter().find(|(known, _)| *known == name);
    let (Some(index), Some((_, first_pass))) = (index(ROWS), pass) else {
        return;
    };
    let search = Search {
        k: 10,
        first_pass: *first_pass,
        threads: 1,
        ..Search::default()
    };
    let query = vector(ROWS + 1);
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| index.search_with(black_box(&query), &search));
}

#[divan::bench(args = [1, 8, 32])]
fn a_batch_in_10_000_rows(bencher: Bencher, queries: u64) {
    let Some(index) = index(10_000) else {
        return;
    };
    let search = Search {
        k: 10,
        threads: 1,
        ..Search::default()
    };
    let asked: Vec<u8> = (0..queries)
        .flat_map(|number| vector(20_000 + number))
        .collect();
    bencher
        .counter(ItemsCount::new(queries))
        .bench(|| index.search_batch(black_box(&asked), &search));
}

/// Turns of twelve words, some frequent and some rare, twenty to a thread.
fn memory(blocks: u64) -> MemoryIndex {
    let mut index = MemoryIndex::new();
    for number in 1..=blocks {
        let _added = turn(&mut index, number);
    }
    index
}

fn turn(index: &mut MemoryIndex, number: u64) -> bool {
    let word = |place: u64| {
        let random = (number * 12 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        format!("word{}", random % (1 << (place + 3)))
    };
    let text = (0..12).map(word).collect::<Vec<String>>().join(" ");
    let thread = format!("thread{}", number / 20);
    let fields = Fields {
        text: &text,
        thread: &thread,
        ..Fields::default()
    };
    index.add(number, &fields).is_ok()
}

#[divan::bench(args = [10_000, 100_000], consts = [0, 1])]
fn find_40_memories<const LENT: usize>(bencher: Bencher, blocks: u64) {
    let index = memory(blocks);
    let weights = Weights {
        text: 1.0,
        context: 0.5,
        source: 0.5,
        neighbour: 0.5 * LENT as f32,
        repeats: 1.2,
        length: 0.75,
        coverage: 0.7,
    };
    let query = "word12 word77 word301 word1999 word9000 word12345";
    bencher.bench(|| index.find(black_box(query), 40, &weights));
}

#[divan::bench]
fn add_a_memory(bencher: Bencher) {
    let mut index = memory(20_000);
    let mut number = 20_000;
    bencher.bench_local(|| {
        number += 1;
        turn(&mut index, number)
    });
}

/// Half words, half what does not shrink.
fn state(size: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u32
    };
    let words = ["the ", "harbour ", "is ", "closed ", "on ", "mondays "];
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size / 2 {
        out.extend_from_slice(words[next() as usize % words.len()].as_bytes());
    }
    while out.len() < size {
        out.extend_from_slice(&next().to_le_bytes());
    }
    out
}

#[divan::bench]
fn codec_fingerprint_24_mb(bencher: Bencher) {
    let state = state(24_000_000);
    bencher
        .counter(BytesCount::of_slice(&state))
        .bench(|| codec::fingerprint(&[black_box(&state)]).map(|found| found.chunks.len()));
}

#[divan::bench]
fn codec_pack_24_mb(bencher: Bencher) {
    let state = state(24_000_000);
    let Ok(file) = std::fs::File::options().write(true).open("/dev/null") else {
        return;
    };
    bencher.counter(BytesCount::of_slice(&state)).bench(|| {
        let source = codec::Slices::new(&[black_box(&state)]);
        codec::pack(&file, 0, &[], &source, &[]).map(|packed| packed.packed)
    });
}

#[divan::bench]
fn codec_delta_of_24_mb(bencher: Bencher) {
    let state = state(24_000_000);
    let Ok(found) = codec::fingerprint(&[&state]) else {
        return;
    };
    bencher
        .bench(|| codec::delta(&[&state], black_box(&found.chunks), &found.chunks, 1_000).is_ok());
}
