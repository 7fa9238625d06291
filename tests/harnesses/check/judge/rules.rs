//! The rules: what each event means for the record, and which lookups are refuted.
//!
//! Events come in the order of their instants. See the [module](super) for the rule and its
//! reasons.

use std::collections::HashMap;

use super::{
    answer::{Answer, Bound},
    floors::{Client, Floors, Settled},
    line::{Kind, Line},
    row::{Left, Moment},
    rows::Rows,
};

/// Before any lookup was seen, and at most: how long it takes from the begin of a lookup to its
/// line. Floors are kept for that time. Those before a longer lookup may be too low.
const SHORT: u64 = 100_000_000;
const LONG: u64 = 2_000_000_000;

/// How many cleared prefixes are kept. After more, lookups of what was loaded before are unknown.
const PREFIXES: usize = 100;

/// What the caller sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many records and tags are kept.
    pub(crate) rows: usize,
    /// By how many nanoseconds any answer may be late about invalidations of other clients.
    pub(crate) late: u64,
    /// A lookup that takes more nanoseconds is refuted.
    pub(crate) longest: u64,
}

/// What is wrong with a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All loads of its content began before an invalidation that had returned.
    Old,
    /// The replica that its load read may lack an invalidation that had returned.
    BehindReplica,
    /// No load has returned its content, and an invalidation had returned.
    Unloaded,
    TooLong,
}

/// A lookup that broke a promise.
#[derive(Debug)]
pub(crate) struct Refutation {
    pub(crate) fault: Fault,
    pub(crate) lookup: Line,
    /// The begin of the invalidation that the lookup must respect.
    pub(crate) floor: u64,
    /// The latest load of its content.
    pub(crate) loaded: Option<u64>,
    /// What happened to the record before.
    pub(crate) moments: Vec<Moment>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) loads: u64,
    pub(crate) fills: u64,
    pub(crate) refused_fills: u64,
    pub(crate) ends: u64,
    pub(crate) pending: u64,
    pub(crate) degraded: u64,
    pub(crate) failed: u64,
    /// Lookups that were judged.
    pub(crate) judged: u64,
    pub(crate) near: u64,
    /// Lookups of which too little is known.
    pub(crate) unknown: u64,
    pub(crate) refuted: u64,
    /// Records that were forgotten, because there are too many.
    pub(crate) forgotten: u64,
}

pub(crate) struct Judge {
    limits: Limits,
    rows: Rows,
    /// By prefix.
    cleared: HashMap<Box<str>, Floors>,
    /// Invalidations of other prefixes began before this instant.
    clears_unknown_until: Option<u64>,
    /// Those whose logs are open.
    processes: HashMap<Box<str>, u32>,
    /// How far two clocks may be apart.
    slack: u64,
    /// The largest lateness of an answer.
    late: u64,
    /// The longest time from the begin of a lookup to its line.
    longest: u64,
    pub(crate) counts: Counts,
}

impl Judge {
    pub(crate) fn new(limits: Limits) -> Judge {
        Judge {
            limits,
            rows: Rows::new(limits.rows),
            cleared: HashMap::new(),
            clears_unknown_until: None,
            processes: HashMap::new(),
            slack: 0,
            late: limits.late,
            longest: SHORT,
            counts: Counts::default(),
        }
    }

    /// Takes the next event. `slack`: how far the clocks of two processes may be apart.
    pub(crate) fn take(&mut self, line: Line, slack: u64) -> Option<Refutation> {
        self.slack = slack;
        let refutation = self.judge(line);
        self.counts.forgotten = self.rows.forgotten;
        refutation
    }

    fn judge(&mut self, line: Line) -> Option<Refutation> {
        match line.e {
            Kind::Lookup => return self.lookup(line),
            Kind::Load => self.load(&line),
            Kind::End => self.end(&line),
            Kind::Clear => self.clear(&line),
            Kind::Fill => {
                self.counts.fills += 1;
                let is_refused = line.outcome.as_deref() == Some("refused");
                self.counts.refused_fills += u64::from(is_refused);
                let what = if is_refused { "fill, refused" } else { "fill" };
                self.moment(&line, what);
            }
            Kind::Degraded => self.counts.degraded += 1,
            Kind::Failed => {
                self.counts.failed += 1;
                return self.too_long(&line);
            }
            Kind::Open => {
                // Caches may have run without a log before.
                if self.processes.is_empty() {
                    self.rows.begin(line.at());
                }
                self.process(&line);
            }
            Kind::Close => drop(self.processes.remove(&line.p)),
            Kind::Alive | Kind::Lost | Kind::Step => {}
        }
        None
    }

    fn load(&mut self, line: &Line) {
        self.counts.loads += 1;
        self.moment(line, "load");
        if let Some(hash) = line.hash {
            self.rows.of(line.key(), line.at()).loaded(hash, line);
        }
    }

    fn end(&mut self, line: &Line) {
        let is_guard = line.outcome.as_deref() == Some("guarded");
        if line.outcome.as_deref() == Some("pending") {
            self.counts.pending += 1;
            return self.moment(line, "invalidation, pending");
        }
        self.counts.ends += 1;
        self.moment(line, if is_guard { "guard" } else { "invalidation" });
        let (settled, window) = (self.settled(line), self.window());
        let row = self.rows.of(line.key(), line.at());
        row.floors.settle(settled, window);
        // The end of the write says what replicas must have: a guard is followed by it.
        if !is_guard {
            row.ended(Left {
                by: settled,
                version: line.version,
            });
        }
    }

    fn clear(&mut self, line: &Line) {
        let Some(prefix) = &line.prefix else {
            return;
        };
        if line.outcome.as_deref() != Some("done") {
            self.counts.pending += 1;
            return;
        }
        self.counts.ends += 1;
        let (settled, window) = (self.settled(line), self.window());
        if self.cleared.len() < PREFIXES || self.cleared.contains_key(prefix) {
            let floors = self.cleared.entry(prefix.clone()).or_default();
            floors.settle(settled, window);
        } else {
            self.clears_unknown_until = self.clears_unknown_until.max(Some(settled.floor));
        }
    }

    /// How long ago a floor must be known.
    fn window(&self) -> u64 {
        self.late + self.longest
    }

    fn settled(&mut self, line: &Line) -> Settled {
        Settled {
            floor: line.began(),
            // The clocks may differ.
            returned: line.at() + self.slack,
            by: Some(self.client(line)),
        }
    }

    fn client(&mut self, line: &Line) -> Client {
        (self.process(line), line.client)
    }

    fn process(&mut self, line: &Line) -> u32 {
        if let Some(number) = self.processes.get(&line.p) {
            return *number;
        }
        // The digits of its number. Processes that have ended are forgotten.
        let number = u32::from_str_radix(&line.p, 16).unwrap_or_default();
        self.processes.insert(line.p.clone(), number);
        number
    }

    fn lookup(&mut self, line: Line) -> Option<Refutation> {
        let late = line.near.unwrap_or(0).max(self.limits.late);
        self.late = self.late.max(late);
        let took = line.at().saturating_sub(line.began());
        self.longest = self.longest.max(took).min(LONG);
        self.counts.near += u64::from(line.near.is_some());
        let too_long = self.too_long(&line);
        let client = self.client(&line);
        let Some(hash) = line.hash else {
            self.counts.unknown += 1;
            return too_long;
        };
        let (key, now) = (line.key(), line.at());
        let answer = Answer {
            began: line.began(),
            late,
            by: client,
            slack: self.slack,
        };
        let content = self.rows.of(key, now).content(hash).cloned();
        let mut of_tags = Bound::default();
        let named = content.iter().flat_map(|content| content.tags.iter());
        for tag in line.tags.iter().chain(named) {
            of_tags = of_tags.and(self.bound_of(tag, now, answer));
        }
        let of_record = self.bound_of(key, now, answer);
        let (bounds, floor) = ((of_record, of_tags), of_record.floor.max(of_tags.floor));
        // Its tags may have taken its place.
        let row = self.rows.of(key, now);
        let fault = match &content {
            Some(content) => answer.fault(content, &row.left, bounds),
            None => Some(Fault::Unloaded),
        };
        let is_known = match (&content, fault) {
            (Some(content), None) => answer.is_surely_right(content, bounds),
            // A load that is not known may have begun late enough.
            _ => row.knows_loads_since(floor, answer.slack),
        };
        if !is_known {
            self.counts.unknown += 1;
            self.moment(&line, "lookup");
            return too_long;
        }
        self.counts.judged += 1;
        let Some(fault) = fault else {
            self.moment(&line, "lookup");
            return too_long;
        };
        self.counts.refuted += 1;
        let loaded = content.map(|content| content.latest());
        Some(self.refutation(fault, line, floor, loaded))
    }

    /// What an answer must respect of a record or of a tag, and of the prefixes of a record.
    fn bound_of(&mut self, key: &str, now: u64, answer: Answer) -> Bound {
        let Answer {
            began, late, by, ..
        } = answer;
        let row = self.rows.of(key, now);
        let cleared = self.cleared.iter();
        let cleared = cleared.filter(|(prefix, _)| key.starts_with(&***prefix));
        let all = cleared.map(|(_, floors)| floors).chain([&row.floors]);
        Bound {
            floor: all
                .map(|floors| floors.at(began, late, by))
                .max()
                .unwrap_or(0),
            unknown_until: row.ends_unknown_until.max(self.clears_unknown_until),
        }
    }

    fn too_long(&mut self, line: &Line) -> Option<Refutation> {
        if line.at().saturating_sub(line.began()) <= self.limits.longest {
            return None;
        }
        self.counts.refuted += 1;
        Some(self.refutation(Fault::TooLong, line.clone(), 0, None))
    }

    fn refutation(
        &self,
        fault: Fault,
        lookup: Line,
        floor: u64,
        loaded: Option<u64>,
    ) -> Refutation {
        let row = self.rows.get(lookup.key());
        let moments = row.map(|row| row.moments.iter().copied().collect());
        Refutation {
            fault,
            lookup,
            floor,
            loaded,
            moments: moments.unwrap_or_default(),
        }
    }

    fn moment(&mut self, line: &Line, what: &'static str) {
        let process = self.process(line);
        let moment = Moment {
            what,
            began: line.began(),
            at: line.at(),
            hash: line.hash,
            process,
        };
        self.rows.of(line.key(), line.at()).add_moment(moment);
    }

    /// How many items it keeps.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.cleared.values().map(Floors::len).sum::<usize>()
    }
}
