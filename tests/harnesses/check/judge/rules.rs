//! The rules: what each event means for the record, and which lookups are refuted.
//!
//! Events come in the order of their instants. See the [module](super) for the rule and its reasons.

use std::{collections::HashMap, rc::Rc};

use super::{
    floors::{Client, Floors, Settled},
    line::{Kind, Line},
    row::{Content, Left, Moment, Row},
};

/// A server keeps expiry in milliseconds, and its clock stands still during a script. So a floor
/// may lapse this much early.
const LAPSES_EARLY: u64 = 10_000_000;

/// Before any lookup was seen, and at most: how long it takes from the begin of a lookup to its line.
/// Floors are kept for that time. Those before a longer lookup may be too low.
const SHORT: u64 = 100_000_000;
const LONG: u64 = 2_000_000_000;

/// How many prefixes may be cleared. More are not judged.
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
    /// Lookups of whose content too little is known.
    pub(crate) unknown: u64,
    pub(crate) refuted: u64,
    /// Records that were forgotten, because there are too many.
    pub(crate) forgotten: u64,
}

pub(crate) struct Judge {
    limits: Limits,
    rows: HashMap<Box<str>, Row>,
    /// By prefix.
    cleared: HashMap<Box<str>, Floors>,
    processes: HashMap<Box<str>, u32>,
    /// How far two clocks may be apart.
    slack: u64,
    /// The largest lateness of an answer.
    late: u64,
    /// The longest time from the begin of a lookup to its line.
    longest: u64,
    /// What began before is not in the trace, or was forgotten.
    unknown_until: Option<u64>,
    used: u64,
    pub(crate) counts: Counts,
}

impl Judge {
    pub(crate) fn new(limits: Limits) -> Judge {
        Judge {
            limits,
            rows: HashMap::new(),
            cleared: HashMap::new(),
            processes: HashMap::new(),
            slack: 0,
            late: limits.late,
            longest: SHORT,
            unknown_until: None,
            used: 0,
            counts: Counts::default(),
        }
    }

    /// Takes the next event. `slack`: how far the clocks of two processes may be apart.
    pub(crate) fn take(&mut self, line: Line, slack: u64) -> Option<Refutation> {
        self.slack = slack;
        self.unknown_until.get_or_insert(line.at());
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
            Kind::Close => drop(self.processes.remove(&line.p)),
            Kind::Open | Kind::Alive | Kind::Lost | Kind::Step => {}
        }
        None
    }

    fn load(&mut self, line: &Line) {
        self.counts.loads += 1;
        self.moment(line, "load");
        let Some(hash) = line.hash else {
            return;
        };
        let began = line.began();
        let replica = line.lag.map(|_| (began, line.version.unwrap_or(0)));
        let content = Content {
            hash,
            from_primary: replica.is_none().then_some(began),
            from_replica: replica,
            lag: line.lag.unwrap_or(0),
            tags: line.tags.iter().cloned().collect::<Rc<[_]>>(),
        };
        self.row(line.key(), line.at()).loaded(content);
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
        let row = self.row(line.key(), line.at());
        row.floors.settle(settled, window);
        // The end of the write says what replicas must have: a guard is followed by it.
        if !is_guard {
            row.ended(Left {
                began: settled.floor,
                returned: settled.returned,
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
        let began = line.began();
        let mut floor = self.floor_of(line.key(), began, late, client);
        for tag in &line.tags {
            floor = floor.max(self.floor_of(tag, began, late, client));
        }
        let slack = self.slack;
        let row = self.row(line.key(), line.at());
        let content = row.content(hash).cloned();
        let unknown_until = row.unknown_until;
        let fault = match &content {
            Some(content) => {
                for tag in content.tags.iter() {
                    floor = floor.max(self.floor_of(tag, began, late, client));
                }
                self.fault_of(&line, content, floor)
            }
            // It was loaded before this instant.
            None if unknown_until.saturating_add(slack) >= floor => {
                self.counts.unknown += 1;
                self.moment(&line, "lookup");
                return too_long;
            }
            None => Some(Fault::Unloaded),
        };
        self.counts.judged += 1;
        let Some(fault) = fault else {
            self.moment(&line, "lookup");
            return too_long;
        };
        self.counts.refuted += 1;
        let loaded = content.map(|content| content.latest());
        Some(self.refutation(fault, line, floor, loaded))
    }

    /// The floor of a record, a tag, or a prefix of the record.
    fn floor_of(&self, key: &str, began: u64, late: u64, by: Client) -> u64 {
        let own = self.rows.get(key).map(|row| &row.floors);
        let cleared = self.cleared.iter();
        let cleared = cleared.filter(|(prefix, _)| key.starts_with(&***prefix));
        let all = own.into_iter().chain(cleared.map(|(_, floors)| floors));
        all.map(|floors| floors.at(began, late, by))
            .max()
            .unwrap_or(0)
    }

    fn fault_of(&self, line: &Line, content: &Content, floor: u64) -> Option<Fault> {
        let is_late_enough = |began: u64| began + self.slack >= floor;
        if content.from_primary.is_some_and(is_late_enough) {
            return None;
        }
        let Some((began, version)) = content.from_replica.filter(|it| is_late_enough(it.0)) else {
            return Some(Fault::Old);
        };
        let row = self.rows.get(line.key())?;
        let may_lack = |left: &&Left| {
            let is_known = left.returned < line.began();
            let lag = content.lag.saturating_sub(LAPSES_EARLY);
            is_known && began < left.began.saturating_add(lag)
        };
        let mut lacking = row.left.iter().filter(may_lack);
        let is_behind = |left: &Left| left.version.is_none_or(|floor| version < floor);
        lacking.any(is_behind).then_some(Fault::BehindReplica)
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
        self.row(line.key(), line.at()).add_moment(moment);
    }

    fn row(&mut self, key: &str, now: u64) -> &mut Row {
        self.used += 1;
        if !self.rows.contains_key(key) {
            if self.rows.len() >= self.limits.rows {
                self.forget(now);
            }
            let row = Row {
                unknown_until: self.unknown_until.unwrap_or(now),
                ..Row::default()
            };
            self.rows.insert(key.into(), row);
        }
        let row = self.rows.get_mut(key).expect("it was just inserted");
        row.used = self.used;
        row
    }

    /// Forgets a quarter of the rows, those that were not used for the longest time.
    fn forget(&mut self, now: u64) {
        let mut used: Vec<_> = self.rows.values().map(|row| row.used).collect();
        let quarter = used.len() / 4;
        let (_, oldest, _) = used.select_nth_unstable(quarter);
        let (oldest, before) = (*oldest, self.rows.len());
        self.rows.retain(|_, row| row.used > oldest);
        self.counts.forgotten += (before - self.rows.len()) as u64;
        self.unknown_until = Some(now);
    }

    /// How many items it keeps.
    pub(crate) fn len(&self) -> usize {
        let rows = self.rows.values().map(|row| 1 + row.len());
        rows.sum::<usize>() + self.cleared.values().map(Floors::len).sum::<usize>()
    }
}
