//! Why bytes gave no measurement: the words of it, counted by kind.

use std::borrow::Cow;

/// What was wrong with a frame, a line or one measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The label under which it is counted.
    pub kind: ProblemKind,
    /// For a person.
    pub detail: Cow<'static, str>,
}

impl Problem {
    /// A problem of `kind`, said in words.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, detail: detail.into() }
    }
}

/// Why bytes gave no measurement. Each is a label of `tidegate_decode_errors_total{sensor,kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The checksum does not hold.
    Checksum,
    /// The closing bytes of a frame are not where they must be.
    End,
    /// The length that a frame names is not one that it can have.
    Length,
    /// Nothing ended the frame within its greatest length.
    TooLong,
    /// The line fell silent in the middle of a frame.
    Truncated,
    /// A text line is not UTF-8.
    Encoding,
    /// A text line is not written as its profile says.
    Syntax,
    /// A value that must be a number is none.
    NotANumber,
    /// A value lies outside of what the device can measure.
    OutOfRange,
    /// A name cannot be the name of a measurement.
    Name,
    /// More measurements than a reading may have.
    TooMany,
    /// A whole frame held nothing that the profile knows.
    Nothing,
    /// A device answered that it cannot do what was asked.
    Exception,
    /// A polled device did not answer in time.
    NoAnswer,
    /// An advertisement is encrypted and no key is configured.
    NoKey,
    /// An advertisement does not open with its key: it is another device's, or was tampered with.
    WrongKey,
    /// An encrypted advertisement is older than one that was heard before.
    Replayed,
    /// An advertisement of no format that is known, a sender that nobody has named, data in a way that is not read.
    Unknown,
}

impl ProblemKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [ProblemKind; 18] = [
        ProblemKind::Checksum,
        ProblemKind::End,
        ProblemKind::Length,
        ProblemKind::TooLong,
        ProblemKind::Truncated,
        ProblemKind::Encoding,
        ProblemKind::Syntax,
        ProblemKind::NotANumber,
        ProblemKind::OutOfRange,
        ProblemKind::Name,
        ProblemKind::TooMany,
        ProblemKind::Nothing,
        ProblemKind::Exception,
        ProblemKind::NoAnswer,
        ProblemKind::NoKey,
        ProblemKind::WrongKey,
        ProblemKind::Replayed,
        ProblemKind::Unknown,
    ];

    /// The label of its metric; never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            ProblemKind::Checksum => "checksum",
            ProblemKind::End => "end",
            ProblemKind::Length => "length",
            ProblemKind::TooLong => "too_long",
            ProblemKind::Truncated => "truncated",
            ProblemKind::Encoding => "encoding",
            ProblemKind::Syntax => "syntax",
            ProblemKind::NotANumber => "not_a_number",
            ProblemKind::OutOfRange => "out_of_range",
            ProblemKind::Name => "name",
            ProblemKind::TooMany => "too_many",
            ProblemKind::Nothing => "nothing",
            ProblemKind::Exception => "exception",
            ProblemKind::NoAnswer => "no_answer",
            ProblemKind::NoKey => "no_key",
            ProblemKind::WrongKey => "wrong_key",
            ProblemKind::Replayed => "replayed",
            ProblemKind::Unknown => "unknown",
        }
    }
}
