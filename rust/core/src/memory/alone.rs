//! A search in which no neighbour lends words: a block meets a term once, and its score depends on nothing around it.
//!
//! So the blocks' table is gone through piece by piece, each with all terms: what is counted in stays in the nearest
//! caches, and is no more for a million blocks than for a thousand.

use super::MemoryIndex;
use super::find::{Best, Scale, Tally};
use super::pieces::PIECE;
use super::postings::Counts;

/// The blocks that have one term, and how many of them have been looked at.
struct List {
    next: usize,
    end: usize,
    rarity: f32,
}

/// What such a search counts in; kept for the next one, all zeros again.
#[derive(Default)]
pub(super) struct Alone {
    /// Slots with a term, term after term.
    met: Vec<(u32, Counts)>,
    lists: Vec<List>,
    /// By place in the piece in hand.
    tallies: Vec<Tally>,
    /// Places in it with any term.
    found: Vec<u16>,
}

impl Alone {
    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }
}

impl MemoryIndex {
    /// Takes the best for `terms` into `best`.
    pub(super) fn find_alone(
        &self,
        terms: &[u64],
        scale: &Scale<'_>,
        alone: &mut Alone,
        best: &mut Best,
    ) {
        let times = scale.times_of_all();
        alone.tallies.resize(PIECE, Tally::default());
        alone.met.clear();
        alone.lists.clear();
        for term in terms {
            alone
                .lists
                .push(self.list(*term, scale, &times, &mut alone.met));
        }
        for piece in 0..self.blocks.len().div_ceil(PIECE) {
            self.tally(piece, scale, &times, alone);
            for place in alone.found.drain(..) {
                let tally = std::mem::take(&mut alone.tallies[usize::from(place)]);
                let slot = (piece * PIECE) as u32 + u32::from(place);
                best.offer(tally, || self.blocks.number(slot).unwrap_or_default());
            }
        }
    }

    fn list(
        &self,
        term: u64,
        scale: &Scale<'_>,
        times: &[f32; 256],
        met: &mut Vec<(u32, Counts)>,
    ) -> List {
        let next = met.len();
        let all_there = self.blocks.removed == 0;
        self.postings.find(term, |slot, counts| {
            if all_there || self.blocks.is_there(slot) {
                met.push((slot, counts));
            }
        });
        let counting = met[next..]
            .iter()
            .filter(|(_, counts)| times[counts.code()] > 0.0);
        List {
            next,
            end: met.len(),
            rarity: scale.rarity(counting.count()),
        }
    }

    /// Counts all terms of the blocks of a piece.
    fn tally(&self, piece: usize, scale: &Scale<'_>, times: &[f32; 256], alone: &mut Alone) {
        let (sizes, end) = (self.blocks.sizes_of_piece(piece), (piece + 1) * PIECE);
        for list in &mut alone.lists {
            let rest = &alone.met[list.next..list.end];
            let here = rest.partition_point(|(slot, _)| (*slot as usize) < end);
            list.next += here;
            for (slot, counts) in &rest[..here] {
                let place = *slot as usize % PIECE;
                let (Some(tally), Some(sizes)) = (alone.tallies.get_mut(place), sizes.get(place))
                else {
                    continue;
                };
                if tally.own | tally.any == 0 {
                    alone.found.push(place as u16);
                }
                tally.own = tally.own.wrapping_add(u8::from(counts.text() > 0));
                let times = times[counts.code()];
                if times > 0.0 {
                    tally.any = tally.any.wrapping_add(1);
                    tally.score += list.rarity * scale.term(times, *sizes);
                }
            }
        }
    }
}
