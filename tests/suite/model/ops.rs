//! What a history is made of: steps, four bytes each.

use std::time::Duration;

/// One step. Each number picks one of what there is at that moment, by its remainder; where there is none, the step is
/// skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Derive { parent: u8 },
    DeriveTimed { parent: u8, when: When, why: Given },
    Merge { first: u8, second: u8 },
    MergeMany { from: u8, step: u8 },
    WithoutCancel { of: u8 },
    SetValue { on: u8, key: u8, times: u8 },
    CloneContext { of: u8 },
    DropContext { which: u8 },
    CancelByGuard { which: u8, why: Given },
    DropGuard { which: u8 },
    Disarm { which: u8 },
    Handle { of: u8 },
    CloneHandle { of: u8 },
    CancelByHandle { which: u8, why: Given },
    DropHandle { which: u8 },
    Batch { parent: u8, count: u8 },
    TakeFromBatch { which: u8, index: u8 },
    CancelBatch { which: u8, why: Given },
    DropBatch { which: u8 },
    Wait { on: u8, poll: bool },
    Sleep { on: u8, span: Duration, poll: bool },
    Run { on: u8, polls: u8 },
    Poll { which: u8, other_waker: bool },
    DropWait { which: u8 },
    Channel { of: u8 },
    DropChannel { which: u8 },
    AfterFunc { on: u8 },
    Stop { which: u8 },
    DropAfterFunc { which: u8 },
    Light { under: u8, after: Duration },
    Advance { engine: u8, by: Duration },
    Shutdown { engine: u8 },
}

/// The cause that goes with a cancel or a deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    Nothing,
    /// An error of its own, counted.
    Counted,
    /// The error that the end itself does not have.
    OtherError,
}

/// The deadline that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// By `with_timeout`.
    After(Duration),
    /// By `with_deadline`: so long after the present.
    At(Duration),
    /// So long before the present.
    Ago(Duration),
    /// A nanosecond before the deadline that there is, at it, or a nanosecond after it.
    Inherited(i8),
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Further ahead than any deadline can be.
pub(crate) const NEVER: Duration = Duration::from_secs(300 * YEAR.as_secs());

/// The longest span that can be a deadline's, or that a clock is moved by at once.
pub(crate) const AGE: Duration = Duration::from_secs(50 * YEAR.as_secs());

const fn nanos(count: u64) -> Duration {
    Duration::from_nanos(count)
}

/// Few, so that they meet often; and what the timers do differently lies between them.
const SPANS: [Duration; 16] = [
    Duration::ZERO,
    nanos(1),
    nanos(2),
    nanos(1_000),
    nanos((1 << 16) - 1),
    nanos(1 << 16),
    nanos(1_000_000),
    nanos(1 << 22),
    nanos((1 << 24) - 1),
    nanos((1 << 24) + 1),
    nanos(1 << 28),
    Duration::from_secs(1),
    Duration::from_secs(61),
    Duration::from_secs(3600),
    Duration::from_secs(100 * 24 * 3600),
    AGE,
];

fn span(code: u8) -> Duration {
    SPANS[usize::from(code) % SPANS.len()]
}

impl Given {
    fn decode(code: u8) -> Self {
        match code % 4 {
            0 | 1 => Self::Nothing,
            2 => Self::Counted,
            _ => Self::OtherError,
        }
    }
}

impl When {
    fn decode(code: u8) -> Self {
        match code >> 4 {
            0..=6 => Self::After(span(code)),
            7..=10 => Self::At(span(code)),
            11 => Self::Ago(span(code)),
            12 => Self::After(NEVER),
            13 => Self::At(NEVER),
            14 => Self::After(Duration::MAX),
            _ => Self::Inherited((code % 3).cast_signed() - 1),
        }
    }
}

impl Op {
    pub(crate) fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        let flag = b % 2 == 1;
        match kind % 48 {
            0..=4 => Self::Derive { parent: a },
            5..=9 => Self::DeriveTimed {
                parent: a,
                when: When::decode(b),
                why: Given::decode(c),
            },
            10 | 11 => Self::Merge {
                first: a,
                second: b,
            },
            12 => Self::MergeMany { from: a, step: b },
            13 if c % 4 == 0 => Self::WithoutCancel { of: a },
            13 => Self::CloneContext { of: a },
            14..=16 => Self::SetValue {
                on: a,
                key: b,
                times: if c > 250 { 200 } else { 1 },
            },
            17..=19 => Self::DropContext { which: a },
            20 => Self::CancelByGuard {
                which: a,
                why: Given::decode(b),
            },
            21 => Self::DropGuard { which: a },
            22 | 23 => Self::Disarm { which: a },
            24 => Self::Handle { of: a },
            25 if flag => Self::CloneHandle { of: a },
            25 => Self::CancelByHandle {
                which: a,
                why: Given::decode(c),
            },
            26 => Self::DropHandle { which: a },
            27 => Self::Batch {
                parent: a,
                count: b,
            },
            28 | 29 => match b % 4 {
                0 | 1 => Self::TakeFromBatch { which: a, index: c },
                2 => Self::CancelBatch {
                    which: a,
                    why: Given::decode(c),
                },
                _ => Self::DropBatch { which: a },
            },
            30 => Self::Wait { on: a, poll: flag },
            31 => Self::Sleep {
                on: a,
                span: if b > 250 { Duration::MAX } else { span(b) },
                poll: c % 2 == 1,
            },
            32 => Self::Run { on: a, polls: b },
            33..=35 => Self::Poll {
                which: a,
                other_waker: flag,
            },
            36 => Self::DropWait { which: a },
            37 if flag => Self::DropChannel { which: a },
            37 => Self::Channel { of: a },
            38 | 39 => Self::AfterFunc { on: a },
            40 if flag => Self::DropAfterFunc { which: a },
            40 => Self::Stop { which: a },
            41 => Self::Light {
                under: a,
                after: span(b),
            },
            42 if b % 4 == 0 => Self::Shutdown { engine: a },
            _ => Self::Advance {
                engine: a,
                by: span(b) + nanos(u64::from(c % 2)),
            },
        }
    }
}
