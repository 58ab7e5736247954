use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest, Sha256};

use super::chunks::whole;
use super::*;

static FILES: AtomicU32 = AtomicU32::new(0);

/// A file without a name.
fn file() -> File {
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("o-codec-{}-{number}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

/// Bytes that do not shrink, the same ones for the same seed.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size.div_ceil(8))
        .flat_map(|_| next())
        .take(size)
        .collect()
}

fn words(size: usize) -> Vec<u8> {
    let all = ["the ", "harbour ", "is ", "closed ", "on ", "mondays "];
    let picks = noise(size, 9);
    picks
        .iter()
        .flat_map(|pick| all[*pick as usize % all.len()].bytes())
        .take(size)
        .collect()
}

fn section(name: &str, data: &[u8]) -> Section {
    Section {
        name: name.into(),
        size: data.len() as u64,
        sha256: Sha256::digest(data).into(),
    }
}

#[test]
fn what_is_packed_is_unpacked_and_read_by_any_zstd() {
    let (text, vectors) = (words(5_000_001), noise(5_000_000, 1));
    let file = file();
    let source = Slices::new(&[b"head", &text, b"", &vectors]);
    let packed = pack(&file, 100, &[], &source, b"behind").unwrap();
    assert!(packed.packed < 5_000_000 + 2_500_000);
    assert_eq!(packed.body, source.size());
    let mut raw = vec![0; packed.packed as usize];
    file.read_exact_at(&mut raw, 100).unwrap();
    assert_eq!(packed.sha256, <[u8; 32]>::from(Sha256::digest(&raw)));
    let plain = zstd::stream::decode_all(&raw[..]).unwrap();
    assert!(plain == [b"head", &text[..], &vectors].concat());

    let body = PackedBody::open(file.try_clone().unwrap(), 100, packed.packed).unwrap();
    assert_eq!(body.tail().unwrap(), b"behind");
    let sections = [
        section("text", &text),
        section("none", b""),
        section("vectors", &vectors),
    ];
    let whole = [Digested {
        file: &file,
        at: 100,
        size: packed.packed,
        sha256: packed.sha256,
    }];
    let mut out = vec![0; text.len() + vectors.len()];
    unpack(&body, 4, &sections, &whole, &mut out).unwrap();
    assert!(out == [&text[..], &vectors].concat());
    check(&body, 4, &sections, &whole).unwrap();
    let lie = [section("text", &vectors), section("vectors", &text)];
    assert!(check(&body, 4, &lie, &whole).is_err());
    assert!(check(&body, 5, &sections, &whole).is_err());
}

#[test]
fn any_part_is_read_as_it_lies_there() {
    let data = [words(3_000_000), noise(3_000_000, 2)].concat();
    let file = file();
    let packed = pack(&file, 0, b"0123", &Slices::new(&[&data]), &[]).unwrap();
    let body = PackedBody::open(file, 0, packed.packed).unwrap();
    let all = [b"0123", &data[..]].concat();
    let mut cursor = Cursor::default();
    for (at, size) in [
        (0, 1),
        (3, 2),
        (4, 3_000_000),
        (2_097_150, 10),
        (1, all.len() - 1),
        (all.len() - 1, 1),
    ] {
        let mut out = vec![0; size];
        body.fill(&mut cursor, at as u64, &mut out).unwrap();
        assert!(out == all[at..at + size]);
    }
    assert!(
        body.fill(&mut cursor, all.len() as u64 - 1, &mut [0; 2])
            .is_err()
    );
}

#[test]
fn every_cut_and_flipped_bit_is_refused_or_harmless_and_nothing_panics() {
    let data = words(3_000);
    let sections = [section("x", &data)];
    let packed_file = file();
    let packed = pack(&packed_file, 0, &[], &Slices::new(&[&data]), b"tail").unwrap();
    let mut raw = vec![0; packed.packed as usize];
    packed_file.read_exact_at(&mut raw, 0).unwrap();
    let open = |bytes: &[u8]| -> Result<PackedBody, CodecError> {
        let copy = file();
        copy.write_all_at(bytes, 0).unwrap();
        PackedBody::open(copy, 0, bytes.len() as u64)
    };
    for size in 0..raw.len() {
        assert!(
            open(&raw[..size])
                .and_then(|body| check(&body, 0, &sections, &[]))
                .is_err()
                || size + 12 == raw.len()
        );
    }
    for bit in 0..8 * raw.len() {
        raw[bit / 8] ^= 1 << (bit % 8);
        let mut out = vec![0; data.len()];
        if open(&raw)
            .and_then(|body| unpack(&body, 0, &sections, &[], &mut out))
            .is_ok()
        {
            assert!(out == data);
        }
        raw[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn stretches_are_cut_as_one() {
    let mut data = noise(14_000_000, 3);
    data[3_000_000..9_000_000].fill(0);
    let found = fingerprint(&[&data, b"", b"small"]).unwrap();
    let mut expected = whole(&data);
    expected.extend(whole(b"small"));
    expected.extend_from_slice(blake3::hash(&expected).as_bytes());
    assert!(found.chunks == expected);
    assert_eq!(found.sha256[2], <[u8; 32]>::from(Sha256::digest(b"small")));
}

#[test]
fn a_delta_over_its_base_is_the_edited_state() {
    let base = [words(2_000_000), noise(2_000_000, 4)];
    let mut edited = base.clone();
    for place in 0..10 {
        edited[0].splice(place * 150_000..place * 150_000 + 3, *b"an edit");
        edited[1][place * 100_000] ^= 1;
    }
    let file = file();
    let known = fingerprint(&[&base[0], &base[1]]).unwrap().chunks;
    let packed = pack(
        &file,
        0,
        b"head",
        &Slices::new(&[&base[0], &base[1]]),
        &known,
    )
    .unwrap();
    let body = Arc::new(PackedBody::open(file, 0, packed.packed).unwrap());
    let own = fingerprint(&[&edited[0], &edited[1]]).unwrap();
    let parts: [&[u8]; 2] = [&edited[0], &edited[1]];
    let tail = body.tail().unwrap();
    assert!(delta(&parts, &own.chunks, &tail, 1_000).unwrap().is_none());
    let Delta { runs, data } = delta(&parts, &own.chunks, &tail, 1_000_000)
        .unwrap()
        .unwrap();
    assert!(data.len() < 20 * 20_000);
    let sections = [section("a", &edited[0]), section("b", &edited[1])];
    let patched = Patched::new(body.clone(), 4, &runs, data.clone()).unwrap();
    let mut out = vec![0; edited[0].len() + edited[1].len()];
    unpack(&patched, 0, &sections, &[], &mut out).unwrap();
    assert!(out == edited.concat());
    check(&patched, 0, &sections, &[]).unwrap();

    let mut beyond = runs.clone();
    if let Some(run) = beyond.iter_mut().find(|run| run.from != NEW) {
        run.from = body.size() - run.size - 3;
    }
    assert!(Patched::new(body.clone(), 4, &beyond, data.clone()).is_err());
    assert!(Patched::new(body, 4, &runs, data[1..].to_vec()).is_err());
    let mut damaged = tail;
    damaged[100] ^= 1;
    assert!(delta(&parts, &own.chunks, &damaged, 1_000_000).is_err());
}

#[test]
fn a_dictionary_helps_small_blocks_and_refuses_others() {
    let block = |number: usize| {
        format!("{{\"role\": \"user\", \"content\": \"question {number} about the harbour\", \"stream\": true, \"n\": {}}}", number * 7919)
            .into_bytes()
    };
    let samples: Vec<Vec<u8>> = (0..2_000).map(block).collect();
    let views: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    let learned = train(&views, 4_096).unwrap();
    let dictionary = Dictionary::new(&learned).unwrap();
    let data = block(123_456);
    let packed = dictionary.compress(&data).unwrap();
    assert!(2 * packed.len() < zstd::bulk::compress(&data, 3).unwrap().len());
    assert_eq!(dictionary.decompress(&packed, 1_000).unwrap(), data);
    let others: Vec<&[u8]> = views.iter().skip(1_000).copied().collect();
    let other = train(&others, 2_048).unwrap();
    let other = Dictionary::new(&other).unwrap();
    assert!(other.decompress(&packed, 1_000).is_err());
    assert!(dictionary.decompress(&packed, 10).is_err());
    assert!(dictionary.decompress(b"no frame", 1_000).is_err());
    assert!(train(&views[..1], 4_096).is_err());
}
