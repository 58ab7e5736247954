//! Queries as tiles: sixteen of them by 64 dimensions, the other side of what a block of rows already is.

use super::super::aligned::Aligned;
use super::{BLOCK, Dots, GROUP};

/// Words of one query in a tile: 64 dimensions.
pub(super) const WORDS: usize = 16;
/// Queries of two tiles, which are multiplied with two blocks in one go.
pub(super) const PAIR: usize = 32;

/// The codes of some queries: pairs of tiles, one pair after the other for all their dimensions, filled up with zeros.
pub(in super::super) struct Tiles {
    words: Aligned<i32>,
    /// Words of a query.
    groups: usize,
    queries: usize,
}

impl Tiles {
    /// Tiles of queries of the same length.
    pub fn of(queries: &[&[i32]]) -> Self {
        let groups = queries.first().map_or(0, |words| words.len());
        let steps = groups.div_ceil(WORDS);
        let mut words = Aligned::new();
        words.resize(queries.len().div_ceil(PAIR) * steps * PAIR * WORDS, 0);
        for (number, query) in queries.iter().enumerate() {
            let first = number / PAIR * steps * PAIR + number % PAIR;
            for (step, part) in query.chunks(WORDS).enumerate() {
                let at = (first + step * PAIR) * WORDS;
                words[at..at + part.len()].copy_from_slice(part);
            }
        }
        Tiles {
            words,
            groups,
            queries: queries.len(),
        }
    }

    /// Queries that there is room for.
    pub fn padded(&self) -> usize {
        self.queries.next_multiple_of(PAIR)
    }

    /// Groups of four dimensions.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// The pairs, each of them `steps` times two tiles.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &[i32]> {
        let steps = self.groups.div_ceil(WORDS);
        self.words.chunks_exact((steps * PAIR * WORDS).max(1))
    }
}

/// What [`super::Kernel::tile_dots`] does, without instructions for tiles.
pub(super) fn portable(blocks: &[u8], tiles: &Tiles, out: &mut [Dots]) {
    for (pair, out) in tiles.pairs().zip(out.chunks_mut(PAIR)) {
        for (query, out) in out.iter_mut().enumerate() {
            let words: Vec<i32> = pair
                .chunks_exact(PAIR * WORDS)
                .flat_map(|step| &step[query * WORDS..][..WORDS])
                .copied()
                .take(tiles.groups())
                .collect();
            let size = tiles.groups() * GROUP * BLOCK;
            let blocks = &blocks[..blocks.len() / size * size];
            super::portable::code_dots(blocks, &[&words], std::slice::from_mut(out));
        }
    }
}
