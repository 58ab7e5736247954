//! A list in pieces: one that grows moves nothing, so a fork that adds to it copies the pages that it writes to.

/// Values in a piece.
pub(super) const PIECE: usize = 4096;

pub(super) struct Pieces<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Pieces { pieces: Vec::new() }
    }
}

impl<T: Copy> Pieces<T> {
    pub fn len(&self) -> usize {
        self.pieces
            .last()
            .map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    pub fn memory_bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<T>()
    }

    /// The values of a piece; none past the end.
    pub fn piece(&self, number: usize) -> &[T] {
        self.pieces.get(number).map_or(&[], Vec::as_slice)
    }

    #[inline]
    pub fn get(&self, at: u32) -> Option<T> {
        let at = at as usize;
        self.pieces.get(at / PIECE)?.get(at % PIECE).copied()
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = at as usize;
        self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)
    }

    pub fn push(&mut self, value: T) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(value),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(value);
                self.pieces.push(piece);
            }
        }
    }

    /// How many values come before the first that is above `value`; they go up.
    pub fn up_to(&self, value: T) -> usize
    where
        T: PartialOrd,
    {
        let starts = |piece: &Vec<T>| piece.first().is_some_and(|first| *first <= value);
        let whole = self.pieces.partition_point(starts).saturating_sub(1);
        let within = self
            .pieces
            .get(whole)
            .map_or(0, |piece| piece.partition_point(|v| *v <= value));
        whole * PIECE + within
    }
}
