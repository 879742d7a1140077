//! Sets of numbers that mostly follow each other.

use std::collections::VecDeque;

/// A number with neighbours.
pub(super) trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<u32> {
        self.checked_sub(1)
    }
}

impl Number for u64 {
    fn next(self) -> Option<u64> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<u64> {
        self.checked_sub(1)
    }
}

/// A set, kept as ranges that are apart from each other, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges<T>(VecDeque<(T, T)>);

impl<T> Default for Ranges<T> {
    fn default() -> Ranges<T> {
        Ranges(VecDeque::new())
    }
}

impl<T: Number> Ranges<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<T> {
        self.0.front().map(|(first, _)| *first)
    }

    pub(super) fn last(&self) -> Option<T> {
        self.0.back().map(|(_, last)| *last)
    }

    /// The ranges, both ends included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (T, T)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn contains(&self, number: T) -> bool {
        self.at(self.place(number)).is_some_and(|(first, _)| first <= number)
    }

    /// The smallest number in the set that is not smaller than `number`.
    pub(super) fn at_or_after(&self, number: T) -> Option<T> {
        self.at(self.place(number)).map(|(first, _)| first.max(number))
    }

    /// The largest number in the set that is smaller than `number`.
    pub(super) fn before(&self, number: T) -> Option<T> {
        let place = self.place(number);
        match self.at(place) {
            Some((first, _)) if first < number => number.previous(),
            _ => self.at(place.checked_sub(1)?).map(|(_, last)| last),
        }
    }

    /// Adds `first` to `last`.
    pub(super) fn insert(&mut self, first: T, last: T) {
        if last < first {
            return;
        }
        // Those that touch or overlap are replaced by one.
        let reach = first.previous().unwrap_or(first);
        let from = self.place(reach);
        let beyond = last.next().unwrap_or(last);
        let (mut first, mut last) = (first, last);
        let mut to = from;
        while let Some((other_first, other_last)) = self.at(to).filter(|(other, _)| *other <= beyond) {
            first = first.min(other_first);
            last = last.max(other_last);
            to += 1;
        }
        match to - from {
            0 => self.0.insert(from, (first, last)),
            1 => self.set(from, (first, last)),
            _ => {
                self.0.drain(from + 1..to);
                self.set(from, (first, last));
            }
        }
    }

    /// Takes one number out; whether it was in.
    pub(super) fn remove(&mut self, number: T) -> bool {
        let place = self.place(number);
        let Some((first, last)) = self.at(place).filter(|(first, _)| *first <= number) else {
            return false;
        };
        let left = number.previous().filter(|left| first <= *left).map(|left| (first, left));
        let right = number.next().filter(|right| *right <= last).map(|right| (right, last));
        match (left, right) {
            (Some(left), Some(right)) => {
                self.set(place, right);
                self.0.insert(place, left);
            }
            (Some(rest), None) | (None, Some(rest)) => self.set(place, rest),
            (None, None) => {
                self.0.remove(place);
            }
        }
        true
    }

    /// Takes out everything up to `number`.
    pub(super) fn remove_through(&mut self, number: T) {
        while let Some((first, last)) = self.0.front().copied().filter(|(first, _)| *first <= number) {
            match number.next().filter(|next| *next <= last) {
                Some(next) => {
                    debug_assert!(first < next, "something is left of the range, and something is taken");
                    self.set(0, (next, last));
                    return;
                }
                None => {
                    self.0.pop_front();
                }
            }
        }
    }

    /// The place of the first range that does not end before `number`.
    fn place(&self, number: T) -> usize {
        // Queues are used at both ends.
        if self.0.front().is_none_or(|(_, last)| number <= *last) {
            return 0;
        }
        self.0.partition_point(|(_, last)| *last < number)
    }

    fn at(&self, place: usize) -> Option<(T, T)> {
        self.0.get(place).copied()
    }

    fn set(&mut self, place: usize, range: (T, T)) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = range;
        }
    }
}
