//! The rules of the judge of event logs, each on a short trace: what is right, what is refuted, and
//! what is excused.

use std::fmt::Display;

use crate::judge::{Fault, Judge, Limits, line::Line};

const LIMITS: Limits = Limits {
    rows: 1_000,
    late: 0,
    longest: u64::MAX,
};

/// The clocks of two processes agree this well.
const SLACK: u64 = 2;

/// A trace, whose lines are in the order of their instants.
struct Trace(Judge, Vec<Fault>);

impl Trace {
    fn new() -> Trace {
        Trace::with(LIMITS)
    }

    fn with(limits: Limits) -> Trace {
        let mut trace = Trace(Judge::new(limits), Vec::new());
        trace.add("open", 0, 100, "");
        trace
    }

    /// An event of process `p`, which began at the first instant and was added at the second.
    fn add(&mut self, event: &str, p: u32, at: u64, rest: impl Display) {
        let text = format!(r#"{{"at":{at},"p":"{p}","e":"{event}"{rest}}}"#);
        let line = Line::parse(&text).unwrap_or_else(|| panic!("{text}"));
        let refuted = self.0.take(line, SLACK);
        self.1.extend(refuted.map(|it| it.fault));
    }

    fn load(self, began: u64, at: u64, hash: u64) -> Trace {
        self.load_with(began, at, hash, "")
    }

    fn load_with(mut self, began: u64, at: u64, hash: u64, rest: &str) -> Trace {
        let rest = format!(r#","key":"a:1","began":{began},"hash":"{hash:x}"{rest}"#);
        self.add("load", 0, at, rest);
        self
    }

    fn end(self, began: u64, at: u64) -> Trace {
        self.end_of("a:1", 0, began, at, r#","outcome":"done""#)
    }

    fn end_of(mut self, key: &str, p: u32, began: u64, at: u64, rest: &str) -> Trace {
        let rest = format!(r#","key":"{key}","began":{began},"client":7{rest}"#);
        self.add("end", p, at, rest);
        self
    }

    fn lookup(self, began: u64, at: u64, hash: u64) -> Trace {
        self.lookup_by(1, began, at, hash, "")
    }

    fn lookup_by(mut self, p: u32, began: u64, at: u64, hash: u64, rest: &str) -> Trace {
        let rest = format!(
            r#","key":"a:1","began":{began},"from":"hit","client":7,"hash":"{hash:x}"{rest}"#
        );
        self.add("lookup", p, at, rest);
        self
    }

    #[track_caller]
    fn must_be_right(self) {
        assert_eq!(self.1, []);
        assert_eq!(self.0.counts.unknown, 0);
        assert!(self.0.counts.judged > 0);
    }

    #[track_caller]
    fn must_be_refuted(self, fault: Fault) {
        assert_eq!(self.1, [fault]);
    }

    #[track_caller]
    fn must_be_unknown(self) {
        assert_eq!(self.1, []);
        assert_eq!((self.0.counts.judged, self.0.counts.unknown), (0, 1));
    }
}

#[test]
fn a_lookup_after_an_invalidation_returns_what_was_loaded_after_its_begin() {
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.load(135, 150, 2).lookup(160, 170, 2).must_be_right();
}

#[test]
fn a_record_from_before_an_invalidation_that_had_returned_must_be_refuted() {
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.lookup(160, 170, 1).must_be_refuted(Fault::Old);
}

#[test]
fn a_lookup_that_began_before_the_return_may_have_the_old_record() {
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.lookup(139, 170, 1).must_be_right();
}

#[test]
fn the_same_content_may_have_been_loaded_again() {
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.load(150, 155, 1).lookup(160, 170, 1).must_be_right();
}

#[test]
fn an_invalidation_that_began_early_and_returned_late_does_not_lower_the_floor() {
    let trace = Trace::new().load(110, 120, 1).load(135, 138, 2);
    let trace = trace.end(140, 150).end(130, 160);
    trace.lookup(170, 180, 2).must_be_refuted(Fault::Old);
}

#[test]
fn a_content_that_nobody_has_loaded_is_refuted_only_after_an_invalidation() {
    let trace = Trace::new().load(110, 120, 1);
    trace.lookup(125, 128, 9).must_be_unknown();
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.lookup(160, 170, 9).must_be_refuted(Fault::Unloaded);
}

#[test]
fn a_lookup_without_a_content_must_be_unknown() {
    let mut trace = Trace::new().end(130, 140);
    let rest = r#","key":"a:1","began":150,"from":"hit""#;
    trace.add("lookup", 0, 160, rest);
    trace.must_be_unknown();
}

#[test]
fn a_pending_invalidation_settles_nothing_until_its_replay() {
    let pending = |trace: Trace| trace.end_of("a:1", 0, 130, 140, r#","outcome":"pending""#);
    let trace = pending(Trace::new().load(110, 120, 1));
    trace.lookup(160, 170, 1).must_be_right();
    let trace = pending(Trace::new().load(110, 120, 1)).end(150, 160);
    trace.lookup(170, 180, 1).must_be_refuted(Fault::Old);
}

#[test]
fn a_guard_ends_the_record_too() {
    let trace = Trace::new().load(110, 120, 1);
    let trace = trace.end_of("a:1", 0, 130, 140, r#","outcome":"guarded""#);
    trace.lookup(160, 170, 1).must_be_refuted(Fault::Old);
}

#[test]
fn the_clocks_of_two_processes_may_differ_a_little() {
    let trace = Trace::new().load(129, 130, 1).end(130, 140);
    trace.lookup(143, 170, 1).must_be_right();
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.lookup(142, 170, 1).must_be_right();
    let trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.lookup(143, 170, 1).must_be_refuted(Fault::Old);
}

const NEAR: &str = r#","near":100"#;

#[test]
fn a_near_hit_may_be_late_about_other_clients_and_not_about_its_own() {
    // The bound is learned from the first near hit.
    let near = |trace: Trace| trace.lookup_by(0, 125, 128, 1, NEAR);
    let late = |p, at| {
        near(Trace::new().load(110, 120, 1))
            .end(130, 140)
            .lookup_by(p, at, at + 5, 1, NEAR)
    };
    late(1, 200).must_be_right();
    late(1, 300).must_be_refuted(Fault::Old);
    late(0, 200).must_be_refuted(Fault::Old);
    // Another client of the same process.
    let mut other = Trace::new().load(110, 120, 1).end(130, 140);
    let rest = r#","key":"a:1","began":200,"from":"near","client":8,"hash":"1","near":100"#;
    other.add("lookup", 0, 210, rest);
    other.must_be_right();
}

#[test]
fn any_answer_may_be_as_late_as_the_caller_allows() {
    let late = |at| {
        let trace = Trace::with(Limits {
            late: 1_000,
            ..LIMITS
        });
        trace.load(110, 120, 1).end(130, 140).lookup(at, at + 5, 1)
    };
    late(1_100).must_be_right();
    late(1_200).must_be_refuted(Fault::Old);
}

/// A process loads from a replica, another invalidates with a later version.
fn ended_after_a_read_of_a_replica(limits: Limits) -> Trace {
    let trace = Trace::with(limits).load_with(110, 120, 1, &from_replica(5));
    trace.end_of("a:1", 1, 130, 140, r#","outcome":"done","version":6"#)
}

#[test]
fn a_near_hit_of_what_a_replica_has_returned_may_be_late_too() {
    let near = |p, at| {
        let trace = ended_after_a_read_of_a_replica(LIMITS);
        trace.lookup_by(p, at, at + 5, 1, NEAR)
    };
    near(0, 200).must_be_right();
    near(0, 300).must_be_refuted(Fault::Old);
    near(1, 200).must_be_refuted(Fault::Old);
}

#[test]
fn what_a_replica_has_returned_may_be_as_late_as_the_caller_allows() {
    // Loaded after the begin of the invalidation, so that only the replica is at fault.
    let late = |at| {
        let limits = Limits {
            late: 1_000,
            ..LIMITS
        };
        let trace = Trace::with(limits).load(110, 120, 1);
        let trace = trace.end_of("a:1", 1, 130, 140, r#","outcome":"done","version":6"#);
        let trace = trace.load_with(131, 141, 2, &from_replica(5));
        trace.lookup_by(0, at, at + 5, 2, "")
    };
    late(1_100).must_be_right();
    late(1_200).must_be_refuted(Fault::BehindReplica);
}

#[test]
fn a_tag_of_the_caller_ends_what_was_loaded_before_its_invalidation() {
    let tagged = r#","tags":["tags:{cache}:t"]"#;
    let ended = |tag| {
        let trace = Trace::new().load(110, 120, 1);
        trace.end_of(tag, 0, 130, 140, r#","outcome":"done""#)
    };
    ended("tags:{cache}:t")
        .lookup_by(1, 160, 170, 1, tagged)
        .must_be_refuted(Fault::Old);
    ended("tags:{cache}:u")
        .lookup_by(1, 160, 170, 1, tagged)
        .must_be_right();
    ended("tags:{cache}:t").lookup(160, 170, 1).must_be_right();
}

#[test]
fn a_tag_that_the_load_has_named_does_so_too() {
    let tagged = r#","tags":["tags:{cache}:t"]"#;
    let trace = Trace::new().load_with(110, 120, 1, tagged);
    let trace = trace.end_of("tags:{cache}:t", 0, 130, 140, r#","outcome":"done""#);
    trace.lookup(160, 170, 1).must_be_refuted(Fault::Old);
}

const UNDER_T: &str = r#","tags":["tags:{cache}:t"]"#;

/// Process 1 changes content 1 into content 2 in place.
fn update_in_place(trace: Trace, began: u64, at: u64) -> Trace {
    let rest = r#","was":"1","tags":["tags:{cache}:t"]"#;
    trace.load_with(began, at, 2, rest)
}

fn end_of_tag(trace: Trace, began: u64, at: u64) -> Trace {
    trace.end_of("tags:{cache}:t", 0, began, at, r#","outcome":"done""#)
}

#[test]
fn an_update_in_place_keeps_the_tags_of_the_entry() {
    let updated = || update_in_place(Trace::new().load_with(110, 120, 1, UNDER_T), 122, 125);
    updated().lookup(126, 128, 2).must_be_right();
    let ended = end_of_tag(updated(), 130, 140);
    ended.lookup(160, 170, 2).must_be_refuted(Fault::Old);
}

#[test]
fn an_update_in_place_makes_no_entry_newer_than_an_invalidation_of_its_tag() {
    let ended = || end_of_tag(Trace::new().load_with(110, 120, 1, UNDER_T), 130, 140);
    let updated = || update_in_place(ended(), 145, 150);
    let by_loader = updated().lookup(160, 170, 2);
    by_loader.must_be_refuted(Fault::Old);
    let by_caller = updated().lookup_by(1, 160, 170, 2, UNDER_T);
    by_caller.must_be_refuted(Fault::Old);
    // Another load has returned the same content since.
    let loaded = updated().load_with(151, 155, 2, UNDER_T);
    loaded.lookup(160, 170, 2).must_be_right();
}

#[test]
fn an_update_in_place_of_a_content_that_nobody_has_seen_is_unknown_for_tags_of_that_time() {
    let trace = update_in_place(Trace::new(), 122, 125);
    trace.lookup(126, 128, 2).must_be_right();
    // The changed content was loaded before the trace, and the invalidation came later.
    let trace = end_of_tag(update_in_place(Trace::new(), 122, 125), 130, 140);
    trace.lookup(160, 170, 2).must_be_refuted(Fault::Old);
    // It may have been loaded after the invalidation.
    let mut trace = end_of_tag(Trace::new(), 90, 140);
    trace = update_in_place(trace, 145, 150);
    trace.lookup(160, 170, 2).must_be_unknown();
}

#[test]
fn a_reload_that_finds_a_record_unchanged_keeps_its_tags() {
    let reloaded = |began| {
        let trace = Trace::new().load_with(110, 120, 1, UNDER_T);
        let trace = end_of_tag(trace, 130, 140);
        let trace = trace.load_with(began, began + 5, 1, r#","unchanged":true"#);
        trace.lookup(160, 170, 1)
    };
    reloaded(122).must_be_refuted(Fault::Old);
    reloaded(150).must_be_right();
}

#[test]
fn a_content_has_only_the_tags_that_all_of_its_loads_have_named() {
    let trace = Trace::new()
        .load_with(110, 115, 1, "")
        .load_with(112, 120, 1, UNDER_T);
    let trace = end_of_tag(trace, 130, 140);
    trace.lookup(160, 170, 1).must_be_right();
}

#[test]
fn a_clear_ends_all_records_with_its_prefix() {
    let cleared = |prefix, outcome| {
        let mut trace = Trace::new().load(110, 120, 1);
        let rest = format!(r#","prefix":"{prefix}","began":130,"outcome":"{outcome}""#);
        trace.add("clear", 0, 140, rest);
        trace.lookup(160, 170, 1)
    };
    cleared("a:", "done").must_be_refuted(Fault::Old);
    cleared("b:", "done").must_be_right();
    cleared("a:", "pending").must_be_right();
}

/// A lag that is much longer than what a floor may lapse early.
const LAG: u64 = 1_000_000_000;

fn from_replica(version: u64) -> String {
    format!(r#","version":{version},"lag":{LAG}"#)
}

#[test]
fn a_replica_may_lack_an_invalidation_for_its_lag() {
    let read = |began| {
        let trace = Trace::new().load(110, 120, 1).end(130, 140);
        let trace = trace.load_with(began, began + 10, 2, &from_replica(5));
        trace.lookup(began + 20, began + 30, 2)
    };
    read(150).must_be_refuted(Fault::BehindReplica);
    read(LAG + 150).must_be_right();
}

#[test]
fn a_replica_that_has_the_version_of_the_write_may_be_read() {
    let read = |version| {
        let trace = Trace::new().load(110, 120, 1);
        let trace = trace.end_of("a:1", 0, 130, 140, r#","outcome":"done","version":7"#);
        let trace = trace.load_with(150, 160, 2, &from_replica(version));
        trace.lookup(170, 180, 2)
    };
    read(7).must_be_right();
    read(6).must_be_refuted(Fault::BehindReplica);
}

#[test]
fn a_load_of_the_primary_makes_the_same_content_right() {
    let trace = Trace::new().end(130, 140);
    let trace = trace
        .load_with(150, 160, 2, &from_replica(6))
        .load(155, 165, 2);
    trace.lookup(170, 180, 2).must_be_right();
}

#[test]
fn a_lookup_that_takes_too_long_is_refuted_if_the_caller_sets_a_bound() {
    let trace = Trace::with(Limits {
        longest: 50,
        ..LIMITS
    });
    trace
        .load(110, 120, 1)
        .lookup(130, 190, 1)
        .must_be_refuted(Fault::TooLong);
}

#[test]
fn what_was_forgotten_is_unknown_and_never_refuted() {
    let mut trace = Trace::with(Limits { rows: 16, ..LIMITS }).load(110, 120, 1);
    for other in 0..100 {
        let rest = format!(r#","key":"b:{other}","began":{other},"hash":"1""#);
        trace.add("load", 0, 200 + other, rest);
    }
    assert!(trace.0.counts.forgotten > 0);
    trace.lookup(400, 410, 1).must_be_unknown();
}

const FEW: Limits = Limits { rows: 16, ..LIMITS };

/// Loads so many other records that all rows of before are forgotten.
fn load_others(mut trace: Trace, from: u64) -> Trace {
    for other in 0..100 {
        let at = from + other;
        let rest = format!(r#","key":"b:{at}","began":{at},"hash":"1""#);
        trace.add("load", 0, at, rest);
    }
    trace
}

#[test]
fn a_slow_load_is_not_right_where_an_invalidation_may_have_been_forgotten() {
    let trace = load_others(Trace::with(FEW).end(130, 140), 200);
    let trace = trace.load(110, 310, 1);
    trace.lookup(320, 330, 1).must_be_unknown();
    let trace = load_others(Trace::with(FEW).end(130, 140), 200);
    let trace = trace.load(300, 310, 1);
    trace.lookup(320, 330, 1).must_be_right();
}

#[test]
fn neither_is_a_lookup_under_a_tag_that_was_forgotten() {
    let trace = end_of_tag(Trace::with(FEW), 130, 140);
    let mut trace = load_others(trace, 200);
    // The record is still known, and the tag is not.
    let key = r#","key":"b:299""#;
    let rest = format!(r#"{key},"began":320,"from":"hit","hash":"1"{UNDER_T}"#);
    trace.add("lookup", 1, 330, rest);
    trace.must_be_right();
    let trace = Trace::with(FEW).load(110, 120, 1);
    let mut trace = end_of_tag(trace, 130, 140);
    for other in 0..100 {
        let at = 200 + 2 * other;
        let rest = format!(r#","key":"b:{at}","began":{at},"hash":"1""#);
        trace.add("load", 0, at, rest);
        // This record is used all the time, without its tag.
        trace = trace.lookup(at, at + 1, 1);
    }
    let right = trace.0.counts.judged;
    let trace = trace.lookup_by(1, 500, 510, 1, UNDER_T);
    assert_eq!(trace.1, []);
    assert_eq!((trace.0.counts.judged, trace.0.counts.unknown), (right, 1));
}

#[test]
fn a_tag_that_lookups_name_is_not_forgotten() {
    let mut trace = end_of_tag(Trace::with(FEW), 130, 140).load(150, 160, 1);
    for other in 0..100 {
        let at = 200 + 2 * other;
        let rest = format!(r#","key":"b:{at}","began":{at},"hash":"1""#);
        trace.add("load", 0, at, rest);
        trace = trace.lookup_by(1, at, at + 1, 1, UNDER_T);
    }
    assert!(trace.0.counts.forgotten > 0);
    trace.must_be_right();
}

#[test]
fn a_load_that_was_forgotten_may_be_later_than_the_one_that_is_known() {
    let trace = load_others(Trace::with(FEW).load(150, 160, 1), 200);
    // A slow load of the same content, and a slow invalidation.
    let trace = trace.load(120, 310, 1).end(140, 320);
    trace.lookup(330, 340, 1).must_be_unknown();
}

#[test]
fn what_a_later_run_has_loaded_without_a_log_is_unknown() {
    let mut trace = Trace::new().load(110, 120, 1).end(130, 140);
    trace.add("close", 0, 150, "");
    trace.add("open", 1, 1_000, "");
    trace.lookup(1_010, 1_020, 9).must_be_unknown();
}

#[test]
fn more_cleared_prefixes_than_are_kept_make_earlier_loads_unknown() {
    let cleared = |prefixes: u64| {
        let mut trace = Trace::new().load(110, 120, 1);
        for number in 0..prefixes {
            let at = 140 + number;
            let rest = format!(r#","prefix":"b{number}:","began":{at},"outcome":"done""#);
            trace.add("clear", 0, at, rest);
        }
        trace
    };
    cleared(100).lookup(400, 410, 1).must_be_right();
    cleared(101).lookup(400, 410, 1).must_be_unknown();
    let loaded_since = cleared(101).load(390, 395, 1);
    loaded_since.lookup(400, 410, 1).must_be_right();
}

#[test]
fn a_record_with_very_many_contents_is_never_refuted_for_those_that_were_forgotten() {
    let mut trace = Trace::new();
    for hash in 0..1_000 {
        trace = trace.load(110 + hash, 111 + hash, hash);
    }
    trace.lookup(2_000, 2_010, 1).must_be_unknown();
}

/// The same bound as for a trace of ten million lines.
#[test]
fn a_long_trace_takes_no_more_than_its_bound() {
    let lines = 200_000;
    let rows = 2_000;
    let mut judge = Judge::new(Limits { rows, ..LIMITS });
    let mut merge = crate::judge::merge::Merge::new(10_000);
    let (mut kept, mut waiting) = (0, 0);
    for (number, line) in crate::made::lines(lines).enumerate() {
        merge.add(Line::parse(&line));
        waiting = waiting.max(merge.waiting());
        while let Some(line) = merge.next() {
            assert!(judge.take(line, SLACK).is_none());
        }
        if number % 1_000 == 0 {
            kept = kept.max(judge.len());
        }
    }
    merge.end();
    assert!(!merge.gaps.any());
    assert!(judge.counts.judged > lines / 3 && judge.counts.forgotten > 0);
    assert!(kept <= rows * 100, "{kept} items");
    assert!(waiting <= 100, "{waiting} lines");
}
