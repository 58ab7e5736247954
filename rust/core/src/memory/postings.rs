//! Which blocks have which term how often.
//!
//! New ones go behind each other into the *tail*, which is searched from end to end. When that is long enough it is
//! sorted into a *segment* that never changes again, and small segments are put together. So whoever adds writes to new
//! memory only, and a fork shares all that was there before it.
//!
//! A segment has a table of terms, in order, and one list a term: for each block the distance of its slot to the one
//! before, as a varint shifted by one; its lowest bit says that the term is in the text, once; else a byte says where.

use super::blocks::u64_at;

/// Postings from which on the tail becomes a segment.
const TAIL: usize = 8192;
/// So many segments of about a size become one, unless it would be larger than `LARGEST`: putting together is what
/// an addition may have to wait for.
const FAN: usize = 8;
const LARGEST: usize = TAIL * FAN * FAN;
const TERM_BYTES: usize = 16;
const HEADER_BYTES: usize = 16;

/// How often a term is in the parts of a block, to a limit: 7, 7 and 3.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Counts(u8);

/// The part of a block that a term is in.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Text,
    Context,
    Source,
}

impl Counts {
    pub const NONE: Counts = Counts(0);
    const ONCE: Counts = Counts(1);

    /// All of them, as one number below 256.
    pub fn code(self) -> usize {
        usize::from(self.0)
    }

    /// The counts of each code.
    pub fn all() -> impl Iterator<Item = Counts> {
        (0..=u8::MAX).map(Counts)
    }

    pub fn text(self) -> u8 {
        self.0 & 7
    }

    pub fn context(self) -> u8 {
        (self.0 >> 3) & 7
    }

    pub fn source(self) -> u8 {
        self.0 >> 6
    }

    /// One more in a part.
    pub fn and(self, part: Part) -> Counts {
        let (full, one) = match part {
            Part::Text => (7, 1),
            Part::Context => (7 << 3, 1 << 3),
            Part::Source => (3 << 6, 1 << 6),
        };
        Counts(if self.0 & full == full {
            self.0
        } else {
            self.0 + one
        })
    }
}

/// One term in one block.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    pub term: u64,
    pub slot: u32,
    pub counts: Counts,
}

struct Term {
    hash: u64,
    start: u32,
    count: u32,
}

#[derive(Default)]
struct Segment {
    terms: Vec<Term>,
    lists: Vec<u8>,
    postings: usize,
}

/// Writes a segment, term by term.
#[derive(Default)]
struct Writer {
    segment: Segment,
    last: Option<u32>,
}

impl Writer {
    fn with_room(terms: usize, bytes: usize) -> Self {
        let mut writer = Writer::default();
        writer.segment.terms.reserve(terms);
        writer.segment.lists.reserve(bytes);
        writer
    }

    fn push(&mut self, term: u64, slot: u32, counts: Counts) {
        let segment = &mut self.segment;
        if segment.terms.last().is_none_or(|last| last.hash != term) {
            let start = segment.lists.len() as u32;
            segment.terms.push(Term {
                hash: term,
                start,
                count: 0,
            });
            self.last = None;
        }
        let distance = slot.wrapping_sub(self.last.unwrap_or(0));
        self.last = Some(slot);
        let plain = counts == Counts::ONCE;
        let mut rest = (u64::from(distance) << 1) | u64::from(plain);
        while rest >= 0x80 {
            segment.lists.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        segment.lists.push(rest as u8);
        if !plain {
            segment.lists.push(counts.0);
        }
        if let Some(last) = segment.terms.last_mut() {
            last.count += 1;
        }
        segment.postings += 1;
    }

    fn finish(mut self) -> Segment {
        self.segment.terms.shrink_to_fit();
        self.segment.lists.shrink_to_fit();
        self.segment
    }
}

impl Segment {
    #[inline]
    fn each(&self, term: &Term, mut found: impl FnMut(u32, Counts)) {
        let bytes = self.lists.get(term.start as usize..).unwrap_or(&[]);
        let (mut at, mut slot) = (0, 0u32);
        for _ in 0..term.count {
            let Some(first) = bytes.get(at) else { return };
            let (mut value, mut shift) = (u64::from(first & 0x7f), 7);
            at += 1;
            while shift < 56 && bytes[at - 1] >= 0x80 {
                let Some(byte) = bytes.get(at) else { return };
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                at += 1;
            }
            slot = slot.wrapping_add((value >> 1) as u32);
            if value & 1 == 1 {
                found(slot, Counts::ONCE);
                continue;
            }
            let Some(counts) = bytes.get(at) else { return };
            found(slot, Counts(*counts));
            at += 1;
        }
    }

    fn find(&self, hash: u64, found: impl FnMut(u32, Counts)) {
        if let Ok(at) = self.terms.binary_search_by_key(&hash, |term| term.hash) {
            self.each(&self.terms[at], found);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.terms.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.lists.len() as u64).to_le_bytes());
        for term in &self.terms {
            out.extend_from_slice(&term.hash.to_le_bytes());
            out.extend_from_slice(&term.start.to_le_bytes());
            out.extend_from_slice(&term.count.to_le_bytes());
        }
        out.extend_from_slice(&self.lists);
    }

    /// The segment that begins there, and what lies behind it.
    fn read(saved: &[u8]) -> Option<(Self, &[u8])> {
        let (header, body) = saved.split_at_checked(HEADER_BYTES)?;
        let terms = usize::try_from(u64_at(header, 0)).ok()?;
        let (table, body) = body.split_at_checked(terms.checked_mul(TERM_BYTES)?)?;
        let (lists, behind) = body.split_at_checked(usize::try_from(u64_at(header, 8)).ok()?)?;
        let terms: Vec<Term> = table
            .chunks_exact(TERM_BYTES)
            .map(|row| {
                let both = u64_at(row, 8);
                Term {
                    hash: u64_at(row, 0),
                    start: both as u32,
                    count: (both >> 32) as u32,
                }
            })
            .collect();
        let postings = terms.iter().map(|term| term.count as usize).sum();
        let segment = Segment {
            terms,
            lists: lists.to_vec(),
            postings,
        };
        Some((segment, behind))
    }

    /// Its postings as a tail has them: in order of slots.
    fn unsorted(&self) -> Vec<Posting> {
        let mut postings = Vec::with_capacity(TAIL);
        for term in &self.terms {
            self.each(term, |slot, counts| {
                postings.push(Posting {
                    term: term.hash,
                    slot,
                    counts,
                });
            });
        }
        postings.sort_by_key(|posting| posting.slot);
        postings
    }
}

#[derive(Default)]
pub(super) struct Postings {
    segments: Vec<Segment>,
    tail: Vec<Posting>,
}

impl Postings {
    /// Adds the terms of the block in the last slot.
    pub fn add(&mut self, slot: u32, terms: impl Iterator<Item = (u64, Counts)>) {
        if self.tail.capacity() == 0 {
            self.tail.reserve(TAIL);
        }
        self.tail
            .extend(terms.map(|(term, counts)| Posting { term, slot, counts }));
        if self.tail.len() >= TAIL {
            self.seal();
        }
    }

    fn seal(&mut self) {
        self.segments.push(sorted(&self.tail));
        self.tail.clear();
        self.tail.shrink_to(TAIL);
        while let Some(start) = self.together() {
            let parts: Vec<Segment> = self.segments.drain(start..).collect();
            self.segments.push(merged(&parts, Some));
        }
    }

    /// Where the last `FAN` segments start, if they are of about a size and may become one.
    fn together(&self) -> Option<usize> {
        let start = self.segments.len().checked_sub(FAN)?;
        let sizes = self.segments[start..]
            .iter()
            .map(|segment| segment.postings);
        let (least, most, sum) = sizes.fold((usize::MAX, 0, 0), |(least, most, sum), size| {
            (least.min(size), most.max(size), sum + size)
        });
        (most < FAN * least && sum <= LARGEST).then_some(start)
    }

    /// Calls `found` with each block that has the term, in order of slots.
    #[inline]
    pub fn find(&self, term: u64, mut found: impl FnMut(u32, Counts)) {
        for segment in &self.segments {
            segment.find(term, &mut found);
        }
        for posting in self.tail.iter().filter(|posting| posting.term == term) {
            found(posting.slot, posting.counts);
        }
    }

    /// All of it as one segment, with other slots: those that `moved` says.
    pub fn compact(&self, moved: impl Fn(u32) -> Option<u32>) -> Postings {
        let tail = sorted(&self.tail);
        let parts: Vec<&Segment> = self.segments.iter().chain([&tail]).collect();
        let segments = vec![merged(&parts, moved)];
        Postings {
            segments,
            tail: Vec::new(),
        }
    }

    /// How many segments are saved: the tail is one of them.
    pub fn saved_segments(&self) -> usize {
        self.segments.len() + usize::from(!self.tail.is_empty())
    }

    /// Saves segments as they are, so that what was saved before is there again, byte by byte; the tail comes last.
    pub fn write(&self, out: &mut Vec<u8>) {
        for segment in &self.segments {
            segment.write(out);
        }
        if !self.tail.is_empty() {
            sorted(&self.tail).write(out);
        }
    }

    /// Reads what `write` wrote: so many segments, and nothing behind them.
    pub fn read(mut saved: &[u8], segments: u64) -> Option<Self> {
        let mut postings = Postings::default();
        for _ in 0..segments {
            let (segment, behind) = Segment::read(saved)?;
            postings.segments.push(segment);
            saved = behind;
        }
        if !saved.is_empty() {
            return None;
        }
        if let Some(last) = postings.segments.pop_if(|last| last.postings < TAIL) {
            postings.tail = last.unsorted();
        }
        Some(postings)
    }

    pub fn memory_bytes(&self) -> usize {
        let segments = self.segments.iter();
        self.tail.capacity() * size_of::<Posting>()
            + segments
                .map(|s| s.terms.capacity() * TERM_BYTES + s.lists.capacity())
                .sum::<usize>()
    }
}

fn sorted(tail: &[Posting]) -> Segment {
    let mut postings = tail.to_vec();
    postings.sort_unstable_by_key(|posting| (posting.term, posting.slot));
    let mut writer = Writer::with_room(postings.len(), 3 * postings.len());
    for posting in postings {
        writer.push(posting.term, posting.slot, posting.counts);
    }
    writer.finish()
}

/// Segments whose slots follow each other's, as one.
fn merged<S: std::borrow::Borrow<Segment>>(
    parts: &[S],
    moved: impl Fn(u32) -> Option<u32>,
) -> Segment {
    let parts: Vec<&Segment> = parts.iter().map(std::borrow::Borrow::borrow).collect();
    let bytes = parts.iter().map(|part| part.lists.len()).sum();
    let terms = parts.iter().map(|part| part.terms.len()).sum();
    let mut writer = Writer::with_room(terms, bytes);
    let mut places = vec![0; parts.len()];
    loop {
        let heads = parts
            .iter()
            .zip(&places)
            .filter_map(|(part, at)| part.terms.get(*at));
        let Some(least) = heads.map(|term| term.hash).min() else {
            return writer.finish();
        };
        for (part, at) in parts.iter().zip(&mut places) {
            let Some(term) = part.terms.get(*at).filter(|term| term.hash == least) else {
                continue;
            };
            part.each(term, |slot, counts| {
                if let Some(slot) = moved(slot) {
                    writer.push(least, slot, counts);
                }
            });
            *at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(postings: &Postings, term: u64) -> Vec<(u32, Counts)> {
        let mut found = Vec::new();
        postings.find(term, |slot, counts| found.push((slot, counts)));
        found
    }

    #[test]
    fn counts_stop_at_their_limits() {
        let mut counts = Counts::NONE;
        for _ in 0..20 {
            counts = counts.and(Part::Text).and(Part::Context).and(Part::Source);
        }
        assert_eq!(
            (counts.text(), counts.context(), counts.source()),
            (7, 7, 3)
        );
    }

    #[test]
    fn everything_is_found_again_in_whatever_segment_it_is() {
        let mut postings = Postings::default();
        let twice = Counts::NONE.and(Part::Text).and(Part::Text);
        let blocks = 30_000u32;
        for slot in 0..blocks {
            let often = (
                u64::from(slot % 3),
                if slot % 2 == 0 { Counts::ONCE } else { twice },
            );
            let rare = (1000 + u64::from(slot % 977), Counts::NONE.and(Part::Source));
            postings.add(slot, [often, rare].into_iter());
        }
        assert!(postings.segments.len() < 2 * FAN && !postings.tail.is_empty());
        let expected: Vec<(u32, Counts)> = (0..blocks)
            .filter(|slot| slot % 3 == 1)
            .map(|slot| (slot, if slot % 2 == 0 { Counts::ONCE } else { twice }))
            .collect();
        assert!(all(&postings, 1) == expected);
        assert_eq!(all(&postings, 1000).len(), 31);
        assert_eq!(all(&postings, 5), []);

        let half = postings.compact(|slot| (slot % 2 == 0).then_some(slot / 2));
        let mut saved = Vec::new();
        half.write(&mut saved);
        let again = Postings::read(&saved, 1).unwrap();
        let kept: Vec<(u32, Counts)> = expected
            .iter()
            .filter(|(slot, _)| slot % 2 == 0)
            .map(|(slot, counts)| (slot / 2, *counts))
            .collect();
        assert!(all(&again, 1) == kept);
        for cut in [0, 7, saved.len() - 1] {
            assert!(Postings::read(&saved[..cut], 1).is_none());
        }
    }

    fn saved(postings: &Postings) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        postings.write(&mut bytes);
        (bytes, postings.saved_segments() as u64)
    }

    fn grow(postings: &mut Postings, slots: std::ops::Range<u32>) {
        for slot in slots {
            let terms = (0..20).map(|n| (u64::from(slot * 31 + n * n) % 4099, Counts::ONCE));
            postings.add(slot, terms);
        }
    }

    #[test]
    fn what_was_saved_is_saved_again_as_it_was() {
        let mut postings = Postings::default();
        grow(&mut postings, 0..4_000);
        let (before, segments) = saved(&postings);
        let mut again = Postings::read(&before, segments).unwrap();
        assert_eq!(saved(&again), (before.clone(), segments));
        grow(&mut postings, 4_000..4_003);
        grow(&mut again, 4_000..4_003);
        let (after, _) = saved(&postings);
        assert_eq!(after, saved(&again).0);
        let same = before.iter().zip(&after).take_while(|(a, b)| a == b);
        let tail = HEADER_BYTES + postings.tail.len() * (TERM_BYTES + 6);
        assert!(same.count() >= before.len() - tail);
        for term in [0, 1, 17, 4_098] {
            assert_eq!(all(&again, term), all(&postings, term));
        }
        assert!(Postings::read(&before, segments - 1).is_none());
        assert!(Postings::read(&before, segments + 1).is_none());
    }

    #[test]
    fn damaged_lists_end_and_do_no_harm() {
        let segment = Segment {
            terms: vec![
                Term {
                    hash: 1,
                    start: 0,
                    count: u32::MAX,
                },
                Term {
                    hash: 2,
                    start: 99,
                    count: 3,
                },
            ],
            lists: vec![0xff; 40],
            postings: 0,
        };
        let mut calls = 0;
        segment.find(1, |_, _| calls += 1);
        segment.find(2, |_, _| calls += 1);
        assert!(calls < 10);
    }
}
