//! Mutates some of the replies, and counts which duplicates are noticed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    forgeries::{Forgeries, ids_in},
    primary::Verdict,
    proxy::{Asked, Interceptor},
    random::Random,
    steps::Step,
};

/// How many earlier replies may be spliced into others.
const RECENT: usize = 64;

/// How many mutations a violation shows.
const TRAIL: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    Cut,
    Flipped,
    Inserted,
    Duplicated,
    Spliced,
    Late,
}

pub(crate) const MUTATIONS: [Mutation; 6] = [
    Mutation::Cut,
    Mutation::Flipped,
    Mutation::Inserted,
    Mutation::Duplicated,
    Mutation::Spliced,
    Mutation::Late,
];

pub(crate) struct Mutator {
    /// How many replies there are, and how many of them are mutated.
    volume: (u64, u64),
    /// Longer than a client waits.
    late: Duration,
    has_begun: AtomicBool,
    random: Mutex<Random>,
    pub(crate) replies: AtomicU64,
    pub(crate) mutated: [AtomicU64; MUTATIONS.len()],
    recent: Mutex<VecDeque<Vec<u8>>>,
    forgeries: Forgeries,
    /// Copies of replies, to be sent behind the next reply of their connection.
    copies: Mutex<HashMap<u64, Vec<u8>>>,
    /// The connections whose latest reply came twice, and its point.
    doubled: Mutex<HashMap<u64, String>>,
    /// The latest mutations, as text, with the ids that they were about.
    trail: Mutex<VecDeque<(Instant, Vec<String>, String)>>,
    /// Duplicated replies after which the connection was closed, and after which it was used again.
    pub(crate) noticed: AtomicU64,
    pub(crate) missed: Mutex<BTreeMap<String, u64>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, volume: (u64, u64), late: Duration) -> Mutator {
        Mutator {
            volume,
            late,
            has_begun: AtomicBool::new(false),
            random: Mutex::new(Random::new(seed, 0)),
            replies: AtomicU64::new(0),
            mutated: [const { AtomicU64::new(0) }; MUTATIONS.len()],
            recent: Mutex::default(),
            forgeries: Forgeries::default(),
            copies: Mutex::default(),
            doubled: Mutex::default(),
            trail: Mutex::default(),
            noticed: AtomicU64::new(0),
            missed: Mutex::default(),
        }
    }

    /// From now on replies count, and some are mutated.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, SeqCst);
    }

    /// Whether all replies have been given. From then on none is mutated.
    pub(crate) fn is_done(&self) -> bool {
        self.replies.load(SeqCst) >= self.volume.0
    }

    /// Whether a valid mutated reply to a request for this id explains the record that a lookup
    /// found, which began at this instant.
    pub(crate) fn explains(&self, id: &str, verdict: &Verdict, began: Instant) -> bool {
        self.forgeries.explain(id, verdict, began)
    }

    /// What the client gets instead of the right reply, if this is one of those that are mutated.
    fn choose(&self, asked: &Asked<'_>) -> Option<Vec<Step>> {
        if let Some(copy) = self.copies.lock().remove(&asked.connection) {
            return Some(vec![Step::Send([asked.right, &copy].concat())]);
        }
        let (index, mut random) = {
            let mut random = self.random.lock();
            if random.below(self.volume.0) >= self.volume.1 {
                return None;
            }
            let index = random.index(MUTATIONS.len());
            let seed = random.below(u64::MAX);
            (index, Random::new(seed, 0))
        };
        self.mutated[index].fetch_add(1, SeqCst);
        let steps = self.mutated(MUTATIONS[index], asked, &mut random);
        self.note(MUTATIONS[index], asked, &steps);
        Some(steps)
    }

    /// A mutated reply: what is sent.
    fn mutated(&self, mutation: Mutation, asked: &Asked<'_>, random: &mut Random) -> Vec<Step> {
        let right = asked.right;
        let at = random.index(right.len());
        let send = |bytes: Vec<u8>| {
            self.forgeries.note_reply(asked, &bytes);
            vec![Step::Send(bytes)]
        };
        match mutation {
            Mutation::Cut => vec![Step::Send(right[..at].to_vec()), Step::Cut],
            Mutation::Flipped => {
                let mut bytes = right.to_vec();
                let byte = u8::try_from(random.below(256)).unwrap_or_default();
                let bit = 1 << random.below(8);
                bytes[at] = if random.one_in(2) {
                    byte
                } else {
                    bytes[at] ^ bit
                };
                send(bytes)
            }
            Mutation::Inserted => {
                let count = 1 + random.below(8);
                let more = (0..count).map(|_| u8::try_from(random.below(256)).unwrap_or_default());
                let more: Vec<_> = more.collect();
                send([&right[..at], &more, &right[at..]].concat())
            }
            Mutation::Duplicated => {
                if !ids_in(asked).is_empty() {
                    let point = asked.point.to_owned();
                    self.doubled.lock().insert(asked.connection, point);
                }
                vec![Step::Send(right.repeat(2))]
            }
            Mutation::Spliced => {
                let other = {
                    let recent = self.recent.lock();
                    recent
                        .get(random.index(recent.len()))
                        .cloned()
                        .unwrap_or_default()
                };
                let from = random.index(other.len());
                // A part of it, or all of it, instead of the rest or before it.
                let part = if random.one_in(2) {
                    &other[from..]
                } else {
                    &other
                };
                let rest = if random.one_in(2) { &right[at..] } else { b"" };
                send([&right[..at], part, rest].concat())
            }
            Mutation::Late => {
                if random.one_in(2) {
                    return vec![Step::Pause(self.late), Step::Send(right.to_vec())];
                }
                self.copies.lock().insert(asked.connection, right.to_vec());
                vec![Step::Send(right.to_vec())]
            }
        }
    }

    /// The latest mutations of replies that were about this id, or about the id that was found.
    pub(crate) fn trail(&self, id: &str, verdict: &Verdict) -> String {
        let found = match verdict {
            Verdict::Foreign { id, .. } => id,
            _ => id,
        };
        let is_about = |ids: &[String]| ids.iter().any(|about| [id, found].contains(&&**about));
        let trail = self.trail.lock();
        let about = trail
            .iter()
            .rev()
            .filter(|(_, ids, _)| is_about(ids))
            .take(TRAIL);
        let lines = about.map(|(at, _, what)| format!("\n    {:?} ago: {what}", at.elapsed()));
        lines.collect()
    }

    fn note(&self, mutation: Mutation, asked: &Asked<'_>, steps: &[Step]) {
        let ids = ids_in(asked);
        let steps: Vec<_> = steps.iter().map(Step::shown).collect();
        let (connection, point) = (asked.connection, asked.point);
        let what = format!(
            "connection {connection}, {point}, {mutation:?}: {}",
            steps.join(", ")
        );
        let mut trail = self.trail.lock();
        trail.push_back((Instant::now(), ids, what));
        if trail.len() > RECENT {
            trail.pop_front();
        }
    }
}

impl Interceptor for Mutator {
    fn instead(&self, asked: &Asked<'_>) -> Option<Vec<Step>> {
        // Pushes come when they like, so a mutation of one proves nothing.
        if asked.point == "push" || self.is_done() || !self.has_begun.load(SeqCst) {
            return None;
        }
        self.replies.fetch_add(1, SeqCst);
        {
            let mut recent = self.recent.lock();
            recent.push_back(asked.right.to_vec());
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
        let steps = self.choose(asked);
        let is_right = steps
            .as_ref()
            .is_none_or(|steps| matches!(&steps[..], [Step::Send(bytes)] if bytes == asked.right));
        self.forgeries.note_in_burst(asked, is_right);
        steps
    }

    fn asked(&self, connection: u64, words: &[Vec<u8>]) {
        self.forgeries.end_burst(connection);
        // The second half of an update. The connection is not used again before both are answered.
        if words.first().is_some_and(|word| word == b"MULTI") {
            return;
        }
        let doubled = self.doubled.lock().remove(&connection);
        if let Some(point) = doubled {
            *self.missed.lock().entry(point).or_default() += 1;
        }
    }

    fn ended(&self, connection: u64) {
        self.copies.lock().remove(&connection);
        self.forgeries.end_burst(connection);
        if self.doubled.lock().remove(&connection).is_some() && !self.is_done() {
            self.noticed.fetch_add(1, SeqCst);
        }
    }
}
