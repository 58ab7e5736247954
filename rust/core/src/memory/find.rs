//! One search: BM25 over the words of a block, of its context and source, and of its neighbours.
//!
//! A neighbour lends its words before they are scored: a block has a term `text * times in its text + … + neighbour *
//! times in the texts of the two before and the two after it in its thread`, and BM25 is of that. So a word that five
//! turns repeat is worth little more than one that two have, where adding up finished scores would count it five times.

use super::MemoryIndex;
use super::alone::Alone;
use super::blocks::Sizes;
use super::postings::Counts;
use super::words;
use crate::process;

/// Different words of a query that are looked for.
const QUERY_TERMS: usize = 48;

/// What a search counts, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Of words in the text.
    pub text: f32,
    /// Of words in the context.
    pub context: f32,
    /// Of words in the source.
    pub source: f32,
    /// Of words in the texts of the neighbours.
    pub neighbour: f32,
    /// How soon a word that is repeated counts no more (BM25's k1).
    pub repeats: f32,
    /// How much long blocks are held back, 0 to 1 (BM25's b).
    pub length: f32,
    /// How much of a score depends on how many of the query's words there are, 0 to 1.
    pub coverage: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            text: 1.0,
            context: 0.5,
            source: 0.5,
            neighbour: 0.5,
            repeats: 1.2,
            length: 0.75,
            coverage: 0.0,
        }
    }
}

impl Weights {
    fn times(&self, counts: Counts) -> f32 {
        self.text * f32::from(counts.text())
            + self.context * f32::from(counts.context())
            + self.source * f32::from(counts.source())
    }
}

/// A block that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The block's number.
    pub number: u64,
    /// More is better; above 0.
    pub score: f32,
    /// The share of the query's words that it has: those in its text whole, those around it half.
    pub coverage: f32,
}

/// What a search has found of one block.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub score: f32,
    /// Terms in the text.
    pub own: u8,
    /// Terms in the text or around it.
    pub any: u8,
}

/// What a search counts of one block.
#[derive(Clone, Copy, Default)]
struct Cell {
    tally: Tally,
    /// How often the term in hand is there, weighted.
    times: f32,
}

/// What a search counts in, by slot. It is kept for the next one, all zeros again, because memory that is new costs more
/// than what is done in it.
#[derive(Default)]
pub(super) struct Scores {
    cells: Vec<Cell>,
    /// Slots with the term in hand, in the order in which they were met.
    touched: Vec<u32>,
    /// Slots with any term.
    found: Vec<u32>,
    /// All that is needed where no neighbour lends.
    alone: Alone,
}

impl Scores {
    fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.alone.is_empty()
    }

    /// Room for all slots. Lists have it at once: to grow would be to copy, and what is not written is only promised.
    fn make_room(&mut self, slots: usize) {
        if self.cells.len() < slots {
            let room = slots + slots / 8;
            self.cells = vec![Cell::default(); room];
            self.touched = Vec::with_capacity(room);
            self.found = Vec::with_capacity(room);
        }
    }

    #[inline]
    fn count(&mut self, slot: u32, times: f32, own: bool) {
        let Some(cell) = self.cells.get_mut(slot as usize) else {
            return;
        };
        cell.tally.own = cell.tally.own.wrapping_add(u8::from(own));
        if times > 0.0 {
            if cell.times == 0.0 {
                self.touched.push(slot);
            }
            cell.times += times;
        }
    }
}

/// Sorts of weights that do not change within a search.
pub(super) struct Scale<'a> {
    weights: &'a Weights,
    blocks: f32,
    /// What BM25 divides by beside the times: so much, and so much for each word.
    held_back: f32,
    by_length: f32,
}

impl Scale<'_> {
    /// How often a term is there, weighted, by the code of its counts.
    pub fn times_of_all(&self) -> [f32; 256] {
        let mut times = [0.0; 256];
        for (times, counts) in times.iter_mut().zip(Counts::all()) {
            *times = self.weights.times(counts);
        }
        times
    }

    /// What a term is worth that `with` blocks have.
    pub fn rarity(&self, with: usize) -> f32 {
        let with = with as f32;
        let rarity = (1.0 + (self.blocks - with + 0.5).max(0.0) / (with + 0.5)).ln();
        rarity * (self.weights.repeats + 1.0)
    }

    #[inline]
    pub fn term(&self, times: f32, sizes: Sizes) -> f32 {
        let weights = self.weights;
        let length = weights.text * f32::from(sizes.text)
            + weights.context * f32::from(sizes.context)
            + weights.source * f32::from(sizes.source)
            + weights.neighbour * f32::from(sizes.around);
        times / (times + self.held_back + self.by_length * length)
    }
}

impl MemoryIndex {
    /// The `k` best blocks for any of the words of `query`, best first; equal scores by number, the smaller first.
    ///
    /// The same blocks give the same result to the bit, in whatever order segments were made.
    pub fn find(&self, query: &str, k: usize, weights: &Weights) -> Vec<Found> {
        let mut terms: Vec<u64> = Vec::new();
        words::terms(query, |term| {
            if terms.len() < QUERY_TERMS && !terms.contains(&term) {
                terms.push(term);
            }
        });
        // Another thread that searches meanwhile counts in memory of its own.
        let mut own = Scores::default();
        let mut kept = self.scores.try_lock();
        let scores = kept.as_deref_mut().unwrap_or(&mut own);
        let scale = self.scale(weights);
        let mut best = Best::new(k.min(self.len()), terms.len(), weights.coverage);
        if weights.neighbour.max(0.0) == 0.0 {
            self.find_alone(&terms, &scale, &mut scores.alone, &mut best);
            return best.finish();
        }
        scores.make_room(self.blocks.len());
        for term in &terms {
            self.score_term(*term, &scale, scores);
        }
        for slot in scores.found.drain(..) {
            let cell = std::mem::take(&mut scores.cells[slot as usize]);
            let number = || self.blocks.number(slot).unwrap_or_default();
            best.offer(cell.tally, number);
        }
        best.finish()
    }

    /// Gives back what searches count in; the next one makes it anew. For a process that waits and shares its pages.
    pub fn rest(&self) {
        if let Ok(mut scores) = self.scores.try_lock()
            && !scores.is_empty()
        {
            *scores = Scores::default();
            process::give_back();
        }
    }

    fn scale<'a>(&self, weights: &'a Weights) -> Scale<'a> {
        let totals = self.blocks.totals;
        let sum = f64::from(weights.text) * totals.text as f64
            + f64::from(weights.context) * totals.context as f64
            + f64::from(weights.source) * totals.source as f64
            + f64::from(weights.neighbour) * totals.around as f64;
        let mean = (sum / totals.blocks.max(1) as f64) as f32;
        Scale {
            weights,
            blocks: totals.blocks as f32,
            held_back: weights.repeats * (1.0 - weights.length),
            by_length: weights.repeats * weights.length / mean.max(f32::MIN_POSITIVE),
        }
    }

    /// Adds one term to the scores: of the blocks that have it, and of those that a neighbour lends it to.
    fn score_term(&self, term: u64, scale: &Scale<'_>, scores: &mut Scores) {
        let weights = scale.weights;
        let all_there = self.blocks.removed == 0;
        self.postings.find(term, |slot, counts| {
            if !all_there && !self.blocks.is_there(slot) {
                return;
            }
            let text = counts.text();
            scores.count(slot, weights.times(counts), text > 0);
            if text > 0 {
                for near in self.blocks.near(slot) {
                    scores.count(near, weights.neighbour * f32::from(text), false);
                }
            }
        });
        let rarity = scale.rarity(scores.touched.len());
        let Scores {
            cells,
            touched,
            found,
            ..
        } = scores;
        for slot in touched.drain(..) {
            let (Some(cell), Some(sizes)) = (cells.get_mut(slot as usize), self.blocks.sizes(slot))
            else {
                continue;
            };
            let times = std::mem::take(&mut cell.times);
            if cell.tally.any == 0 {
                found.push(slot);
            }
            cell.tally.any = cell.tally.any.wrapping_add(1);
            cell.tally.score += rarity * scale.term(times, sizes);
        }
    }
}

/// The best `k`: twice as many are kept, and cut down when there are more.
pub(super) struct Best {
    kept: Vec<Found>,
    least: f32,
    k: usize,
    /// Words of the query, and how much of a score depends on how many of them there are.
    terms: usize,
    share: f32,
}

impl Best {
    fn new(k: usize, terms: usize, share: f32) -> Self {
        Best {
            kept: Vec::new(),
            least: 0.0,
            k,
            terms,
            share,
        }
    }

    /// Takes a block whose number is only asked for where it may be among the best.
    #[inline]
    pub fn offer(&mut self, tally: Tally, number: impl Fn() -> u64) {
        let Tally { score, own, any } = tally;
        let coverage = (f32::from(own.min(any)) + f32::from(any)) / (2.0 * self.terms as f32);
        let score = score * (1.0 - self.share + self.share * coverage);
        if score >= self.least && score > 0.0 {
            self.take(Found {
                number: number(),
                score,
                coverage,
            });
        }
    }

    fn take(&mut self, found: Found) {
        self.kept.push(found);
        if self.kept.len() > 2 * self.k {
            self.cut();
            self.least = self
                .kept
                .iter()
                .fold(f32::MAX, |least, found| least.min(found.score));
        }
    }

    fn cut(&mut self) {
        if self.k < self.kept.len() {
            self.kept.select_nth_unstable_by(self.k, order);
            self.kept.truncate(self.k);
        }
    }

    fn finish(mut self) -> Vec<Found> {
        self.cut();
        self.kept.sort_unstable_by(order);
        self.kept
    }
}

fn order(a: &Found, b: &Found) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.number.cmp(&b.number))
}
