//! Neighbours in one segment, and what one consumer is owed of them.
//!
//! A [`Chunk`] is a run of messages of one segment, in order of sequence and of place. The place of each is known while
//! the chunk is *open*: four bytes a message. When it is closed only its ends and its counts are left, and the places are
//! read again from the segment when somebody needs them. A [`Run`] says for one consumer which messages of a chunk it is
//! owed: ranges of places while the chunk is open, a count otherwise.

use super::ranges::Ranges;
use crate::durable::Sequence;
use crate::time::Moment;

/// Where an entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// The sequences of an open chunk.
#[derive(Debug, Clone)]
enum Sequences {
    /// One after the other from here.
    From(Sequence),
    /// These; between moved messages there are gaps.
    These(Vec<Sequence>),
}

/// Where the messages of an open chunk lie.
#[derive(Debug, Clone)]
pub(super) struct Places {
    sequences: Sequences,
    offsets: Vec<u32>,
    /// Messages before this place were given up for their age.
    pub(super) aged: u32,
}

/// Messages of one segment; no other chunk has a sequence between its first and its last.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) segment: u64,
    pub(super) last: Sequence,
    /// How many were put there.
    pub(super) messages: u64,
    /// Bytes of all their entries.
    pub(super) bytes: u64,
    /// Not older than this is any message that is owed.
    pub(super) oldest: Moment,
    /// How many deliveries of its messages are owed.
    pub(super) owed: u64,
    /// When it was last needed, as a number that grows.
    pub(super) used: u64,
    /// None while it is closed.
    pub(super) places: Option<Places>,
}

/// What a consumer is owed of one chunk; never nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) owed: u64,
    /// Nothing before this is owed; the first that is, as long as nothing was settled while the chunk was closed.
    first: Sequence,
    /// Nothing after this is owed.
    last: Sequence,
    /// When the first was accepted, if that is known.
    pub(super) oldest: Option<Moment>,
    /// Everything that was known to be owed was said to be settled while the chunk was closed. Whether that is so is
    /// known when it is opened: until then one message counts as owed.
    pub(super) is_doubtful: bool,
    /// None while the chunk is closed.
    pub(super) places: Option<Ranges<u32>>,
}

impl Places {
    pub(super) fn none() -> Places {
        Places { sequences: Sequences::These(Vec::new()), offsets: Vec::new(), aged: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn sequence(&self, place: u32) -> Option<Sequence> {
        match &self.sequences {
            Sequences::From(first) => (place < self.len()).then(|| Sequence(first.0 + u64::from(place))),
            Sequences::These(these) => these.get(usize::try_from(place).ok()?).copied(),
        }
    }

    pub(super) fn offset(&self, place: u32) -> Option<u32> {
        self.offsets.get(usize::try_from(place).ok()?).copied()
    }

    pub(super) fn last(&self) -> Option<Sequence> {
        self.sequence(self.len().checked_sub(1)?)
    }

    /// The place of a sequence, or of the next larger one that is here.
    pub(super) fn at_or_after(&self, sequence: Sequence) -> u32 {
        let place = match &self.sequences {
            Sequences::From(first) => {
                usize::try_from(sequence.0.saturating_sub(first.0)).unwrap_or(usize::MAX)
            }
            Sequences::These(these) => these.partition_point(|other| *other < sequence),
        };
        u32::try_from(place.min(self.offsets.len())).unwrap_or(u32::MAX)
    }

    pub(super) fn place(&self, sequence: Sequence) -> Option<u32> {
        let place = self.at_or_after(sequence);
        (self.sequence(place) == Some(sequence)).then_some(place)
    }

    /// Whether this is the next sequence, without a gap.
    pub(super) fn is_followed_by(&self, sequence: Sequence) -> bool {
        matches!(self.sequences, Sequences::From(first) if first.0 + u64::from(self.len()) == sequence.0)
    }

    /// Whether a message with this sequence at this place may stand behind the last.
    pub(super) fn may_go_on(&self, sequence: Sequence, offset: u32) -> bool {
        let is_later = self.offsets.last().is_none_or(|last| *last < offset);
        is_later && self.last().is_none_or(|last| last < sequence)
    }

    /// Puts a message behind the last; its place.
    pub(super) fn push(&mut self, sequence: Sequence, offset: u32) -> u32 {
        let place = self.len();
        match &mut self.sequences {
            _ if place == 0 => self.sequences = Sequences::From(sequence),
            Sequences::From(first) if first.0 + u64::from(place) != sequence.0 => {
                let first = first.0;
                let these = (first..first + u64::from(place)).map(Sequence);
                self.sequences = Sequences::These(these.chain([sequence]).collect());
            }
            Sequences::From(_) => {}
            Sequences::These(these) => these.push(sequence),
        }
        self.offsets.push(offset);
        place
    }

    /// Forgets what was allocated for growth.
    pub(super) fn shrink(&mut self) {
        self.offsets.shrink_to_fit();
        if let Sequences::These(these) = &mut self.sequences {
            these.shrink_to_fit();
        }
    }
}

impl Chunk {
    pub(super) fn begun(sequence: Sequence, location: Location, bytes: u64, oldest: Moment) -> Chunk {
        let mut places = Places::none();
        places.push(sequence, location.offset);
        Chunk {
            segment: location.segment,
            last: sequence,
            messages: 1,
            bytes,
            oldest,
            owed: 0,
            used: 0,
            places: Some(places),
        }
    }

    pub(super) fn push(&mut self, sequence: Sequence, offset: u32, bytes: u64) -> u32 {
        self.last = sequence;
        self.messages += 1;
        self.bytes += bytes;
        self.places.get_or_insert_with(Places::none).push(sequence, offset)
    }

    /// How many places are kept in memory.
    pub(super) fn open_places(&self) -> usize {
        self.places.as_ref().map_or(0, |places| places.offsets.len())
    }

    /// The place of a message, while the chunk is open.
    pub(super) fn place(&self, sequence: Sequence) -> Option<u32> {
        self.places.as_ref()?.place(sequence)
    }

    pub(super) fn sequence(&self, place: u32) -> Option<Sequence> {
        self.places.as_ref()?.sequence(place)
    }

    pub(super) fn location(&self, place: u32) -> Option<Location> {
        let offset = self.places.as_ref()?.offset(place)?;
        Some(Location { segment: self.segment, offset })
    }

    /// About how many bytes one of its entries has.
    pub(super) fn bytes_each(&self) -> u64 {
        self.bytes / self.messages.max(1)
    }
}

impl Run {
    /// Of a chunk that is closed.
    pub(super) fn closed(owed: u64, first: Sequence, last: Sequence) -> Run {
        Run { owed, first, last, oldest: None, is_doubtful: false, places: None }
    }

    /// One more is owed, behind all others.
    pub(super) fn owe(&mut self, place: u32, sequence: Sequence, accepted_at: Moment) {
        if self.owed == 0 {
            self.first = sequence;
            self.oldest = Some(accepted_at);
        }
        self.owed += 1;
        self.last = sequence;
        self.places.get_or_insert_with(Ranges::default).insert(place, place);
    }

    /// One that is owed was found while the chunk is being opened, behind those that were found before.
    pub(super) fn found(&mut self, place: u32, accepted_at: Moment) {
        let places = self.places.get_or_insert_with(Ranges::default);
        if places.is_empty() {
            self.oldest = Some(accepted_at);
        }
        places.insert(place, place);
    }

    /// Nothing before this is owed.
    pub(super) fn first(&self, chunk: &Chunk) -> Sequence {
        let first = self.places.as_ref().and_then(|places| chunk.sequence(places.first()?));
        first.unwrap_or(self.first)
    }

    /// Nothing after this is owed.
    pub(super) fn last(&self, chunk: &Chunk) -> Sequence {
        let last = self.places.as_ref().and_then(|places| chunk.sequence(places.last()?));
        last.unwrap_or(self.last)
    }

    /// Whether nothing here speaks against it that a message is owed.
    pub(super) fn may_hold(&self, sequence: Sequence) -> bool {
        (self.first..=self.last).contains(&sequence)
    }

    /// The chunk is closed.
    pub(super) fn close(&mut self, chunk: &Chunk) {
        let (first, last) = (self.first(chunk), self.last(chunk));
        if first != self.first {
            self.oldest = None;
        }
        (self.first, self.last, self.places) = (first, last, None);
    }

    /// What was found in the chunk while it was opened is what counts: how much that is.
    pub(super) fn recount(&mut self, chunk: Option<&Chunk>) -> u64 {
        if let (Some(places), Some(chunk)) = (&self.places, chunk) {
            self.owed = places.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
            (self.first, self.last) = (self.first(chunk), self.last(chunk));
            self.is_doubtful = false;
        }
        self.owed
    }
}
