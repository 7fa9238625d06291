//! What can be done to two records by three callers.

use proptest::{collection::vec, prelude::*, sample::select};

/// One of two records.
pub(super) type At = usize;

/// A caller's token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// One of three.
    One(usize),
    /// A caller that uses the last returned nonce, which is no caller's token.
    Nonce,
}

/// How long something is to last.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ttl {
    Long,
    Longer,
    /// It has lapsed before the next step.
    Brief,
}

/// The remaining life of a record, as it was read or as it should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    Nothing,
    /// More than the long time, less than the longer one.
    Much,
    More,
}

/// Which record a request for the lease returns instead.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    Never,
    Always,
    IfOver(Seen),
}

/// Some of three tags.
pub(super) type Tags = Vec<&'static str>;

/// Values of the clock of tags, of two epochs.
pub(super) const CLOCKS: [&str; 4] = [
    "0123456789abcdef0123456789abcdef:00000000000000000009",
    "0123456789abcdef0123456789abcdef:00000000000000000010",
    "0123456789abcdef0123456789abcdef:00000000000000000011",
    "fedcba9876543210fedcba9876543210:00000000000000000010",
];

/// Names and values. A name may come twice.
pub(super) type Pairs = Vec<(&'static str, &'static str)>;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Read(At),
    Left(At),
    Acquire(At, Who, Ttl, Look),
    Refresh(At, Who, Ttl, Seen),
    BackOff(At, Who, Ttl),
    Keep(At, Who, Ttl),
    Fill(At, Who, Ttl, Pairs),
    /// Acquire and fill. Random steps alone would rarely form this pair, so there would be hardly
    /// any record.
    Load(At, Who, Ttl, Pairs),
    Release(At, Who),
    Renew(At, Who, Ttl),
    RenewAll(Vec<(At, Who)>),
    Invalidate(At),
    Expire(At, Ttl),
    InvalidateAll(Vec<At>),
    Guard(At, Who, Ttl),
    Unguard(At, Who),
    UpdateField(At, &'static str, &'static str, Option<(Ttl, Seen)>),
    /// The fields to set and to remove, `None` to decline; and a step of another caller while the
    /// closure runs.
    Update(
        At,
        Option<(Pairs, Vec<&'static str>)>,
        Option<(Ttl, Seen)>,
        Option<Box<Step>>,
    ),
    /// A step of a caller under tags, with these of [`CLOCKS`]: the clock that it has read, the
    /// oldest load that it may share, and the newest tag that it knows.
    Under([usize; 3], Box<Step>),
    ReadTags(Tags),
    KeepTags(Tags),
    /// Whether to leave a floor.
    EndTags(Tags, bool),
}

impl Step {
    /// Whether the test must wait until it has lapsed.
    pub(super) fn is_brief(&self) -> bool {
        match self {
            Step::Acquire(_, _, ttl, _)
            | Step::Refresh(_, _, ttl, _)
            | Step::BackOff(_, _, ttl)
            | Step::Keep(_, _, ttl)
            | Step::Expire(_, ttl)
            | Step::Fill(_, _, ttl, _)
            | Step::Load(_, _, ttl, _)
            | Step::Renew(_, _, ttl)
            | Step::Guard(_, _, ttl)
            | Step::UpdateField(_, _, _, Some((ttl, _)))
            | Step::Update(_, _, Some((ttl, _)), _) => matches!(ttl, Ttl::Brief),
            Step::Under(_, step) => step.is_brief(),
            _ => false,
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", ""];
const VALUES: [&str; 3] = ["1", "2", ""];

/// Most often the first, so that it goes through many steps.
fn record_at() -> impl Strategy<Value = At> {
    prop_oneof![3 => Just(0), 1 => Just(1)]
}

fn pairs() -> impl Strategy<Value = Pairs> {
    vec((select(&NAMES), select(&VALUES)), 0..4)
}

fn record() -> impl Strategy<Value = Pairs> {
    prop_oneof![
        5 => pairs(),
        1 => Just(vec![("__cache_aside_not_found", "1")]),
        1 => Just(vec![("__cache_aside_empty", "1")]),
        5 => (pairs(), select(&CLOCKS)).prop_map(|(mut pairs, clock)| {
            pairs.push(("__cache_aside_clock", clock));
            pairs
        }),
        1 => Just(vec![("__cache_aside_clock", "none")]),
    ]
}

fn tags() -> impl Strategy<Value = Tags> {
    vec(select(&["a", "b", "c"]), 0..3)
}

/// A step on tags, or of a caller under tags.
fn tagged() -> impl Strategy<Value = Step> {
    let clocks = 0..CLOCKS.len();
    let acquire = (record_at(), who(), ttl(), look());
    // Most often one that looks at the clock of a lease.
    let step = prop_oneof![
        2 => acquire.prop_map(|(at, who, ttl, look)| Step::Acquire(at, who, ttl, look)),
        1 => plain(ttl),
    ];
    let clocks = [clocks.clone(), clocks.clone(), clocks];
    let under = (clocks, step.prop_map(Box::new));
    prop_oneof![
        8 => under.prop_map(|(clocks, step)| Step::Under(clocks, step)),
        2 => tags().prop_map(Step::ReadTags),
        1 => tags().prop_map(Step::KeepTags),
        2 => (tags(), any::<bool>()).prop_map(|(tags, lags)| Step::EndTags(tags, lags)),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![8 => (0..3_usize).prop_map(Who::One), 1 => Just(Who::Nonce)]
}

fn long() -> impl Strategy<Value = Ttl> {
    prop_oneof![Just(Ttl::Long), Just(Ttl::Longer)]
}

/// Rarely one that must be waited for.
fn ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![9 => long(), 1 => Just(Ttl::Brief)]
}

fn seen() -> impl Strategy<Value = Seen> {
    select(&[Seen::Nothing, Seen::Much, Seen::More])
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![
        Just(Look::Never),
        Just(Look::Always),
        seen().prop_map(Look::IfOver)
    ]
}

/// A step that is no `update`, with its times from `ttl`.
fn plain<T: Strategy<Value = Ttl> + 'static>(ttl: fn() -> T) -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => record_at().prop_map(Step::Read),
        2 => record_at().prop_map(Step::Left),
        8 => (record_at(), who(), ttl(), look()).prop_map(|(at, who, ttl, look)| Step::Acquire(at, who, ttl, look)),
        6 => (record_at(), who(), ttl(), seen()).prop_map(|(at, who, ttl, seen)| Step::Refresh(at, who, ttl, seen)),
        4 => (record_at(), who(), ttl()).prop_map(|(at, who, ttl)| Step::BackOff(at, who, ttl)),
        6 => (record_at(), who(), ttl()).prop_map(|(at, who, ttl)| Step::Keep(at, who, ttl)),
        3 => (record_at(), ttl()).prop_map(|(at, ttl)| Step::Expire(at, ttl)),
        4 => (record_at(), who(), ttl(), record()).prop_map(|(at, who, ttl, record)| Step::Fill(at, who, ttl, record)),
        12 => (record_at(), who(), ttl(), record()).prop_map(|(at, who, ttl, record)| Step::Load(at, who, ttl, record)),
        4 => (record_at(), who()).prop_map(|(at, who)| Step::Release(at, who)),
        3 => (record_at(), who(), ttl()).prop_map(|(at, who, ttl)| Step::Renew(at, who, ttl)),
        1 => vec((record_at(), who()), 0..4).prop_map(Step::RenewAll),
        2 => record_at().prop_map(Step::Invalidate),
        1 => vec(record_at(), 0..4).prop_map(Step::InvalidateAll),
        3 => (record_at(), who(), ttl()).prop_map(|(at, who, ttl)| Step::Guard(at, who, ttl)),
        4 => (record_at(), who()).prop_map(|(at, who)| Step::Unguard(at, who)),
        3 => (record_at(), select(&NAMES), select(&VALUES), proptest::option::of((ttl(), seen())))
            .prop_map(|(at, name, value, ttl)| Step::UpdateField(at, name, value, ttl)),
    ]
}

fn update() -> impl Strategy<Value = Step> {
    let diff = (pairs(), vec(select(&NAMES), 0..3));
    (
        record_at(),
        proptest::option::weighted(0.8, diff),
        proptest::option::of((ttl(), seen())),
        // Nothing of it lapses or returns. A lease that is taken and ended while the closure runs
        // makes an update on Redis retry without need, but not in memory.
        proptest::option::of(plain(long).prop_map(Box::new)),
    )
        .prop_map(|(at, diff, ttl, meanwhile)| Step::Update(at, diff, ttl, meanwhile))
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![3 => plain(ttl), 1 => update(), 2 => tagged()],
        1..80,
    )
}
