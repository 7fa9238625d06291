//! A model of the lease protocol. The checker explores every interleaving of it.
//!
//! **Modelled:**
//!
//! - one key; three readers, two of them in one process and one in another;
//! - up to three writers with `invalidate`, `write` and `update_field`; the first two also with
//!   their ends in two steps, as during a slot migration; the last on a record, on none and on a
//!   cached "not found";
//! - calls, watchers, refreshes, panicking loaders;
//! - a crash of a process at any step; lapse of leases, guards and records at any moment; renewals;
//!   a writer's last request done twice, the second time late;
//! - a clock of the server that is set back;
//! - a replica of the primary that lags, the floors that keep loads of it from being believed, and
//!   writes through;
//! - the tag of a record, its invalidation, the loss of its keys and of all keys, a failover.
//!
//! **Not modelled:** degraded lookups, which share nothing that a token must protect; wait
//! deadlines, which only end a wait sooner; late requests of readers, all fenced by a token except
//! `acquire`; `update`, which is a field update in one EXEC; two updates of one field at once, for
//! which nothing is guaranteed; schemas: to an entry of another schema, a reader loads under a lease
//! while the entry exists, as a refresh does, and an update ends it, as it ends a "not found".
//!
//! **Why the result applies to the code:** the callers share only Redis, which runs a script as one
//! step, and the calls of their process, which are looked up under one lock. Each script is a
//! method in `redis.rs`, and each lookup of a call is one step of a caller. All other callers may
//! run between any two steps. No clock is trusted, so none is modelled: a thing that can lapse may
//! lapse at once or never. A stale lookup needs a caller that loaded the old record, one that
//! passes it on (fills, leads or watches), one that gets it, the write that it misses, and a guard
//! or two. The model has that many callers. More are not covered.
//!
//! The mutations of `mutation.rs` show that the model finds what it should. The properties are in
//! `check.rs`, with the reason why every caller ends. The largest configuration takes minutes;
//! `cargo test --release -p model -- --ignored --nocapture` runs it.

mod check;
mod lookup;
mod mutation;
mod reader;
mod redis;
mod state;
mod tags;
mod tags_tests;
mod versions;
mod write;

use std::time::Instant;

use mutation::Mutation;
use state::{Action, Protocol, Write};
use stateright::{Checker, HasDiscoveries, Model};
use write::Kind;

/// All readers may read and crash. There is no writer.
const PLAIN: Protocol = Protocol {
    readers: 3,
    writers: &[],
    crashes: &[0, 1],
    refresh: false,
    keep: false,
    panic: false,
    not_found: false,
    steps_back: 0,
    versions: false,
    tags: None,
    mutation: None,
};

const INVALIDATE: Write = Write {
    kind: Kind::Invalidate,
    process: 1,
    renews: false,
    repeats: false,
    apart: false,
};
const INVALIDATE_TWICE: Write = Write {
    repeats: true,
    ..INVALIDATE
};
const INVALIDATE_APART: Write = Write {
    apart: true,
    ..INVALIDATE
};
const UPDATE_FIELD: Write = Write {
    kind: Kind::UpdateField,
    ..INVALIDATE
};
const WRITE: Write = Write {
    kind: Kind::Write,
    ..INVALIDATE
};
const WRITE_APART: Write = Write {
    apart: true,
    ..WRITE
};
const OTHER_WRITE: Write = Write {
    process: 0,
    ..WRITE
};
const RENEWED_WRITE: Write = Write {
    renews: true,
    ..WRITE
};
const OTHER_RENEWED_WRITE: Write = Write {
    renews: true,
    ..OTHER_WRITE
};

const INVALIDATE_AT: Write = Write {
    kind: Kind::InvalidateAt,
    ..INVALIDATE
};
const WRITE_THROUGH: Write = Write {
    kind: Kind::WriteThrough,
    ..INVALIDATE
};
const OTHER_WRITE_THROUGH: Write = Write {
    process: 0,
    ..WRITE_THROUGH
};

/// Loaders read a replica that lags.
const VERSIONS: Protocol = Protocol {
    readers: 2,
    versions: true,
    ..PLAIN
};

fn holds(protocol: Protocol) {
    let begun = Instant::now();
    let checker = protocol.checker().spawn_dfs().join();
    checker.assert_properties();
    println!(
        "{} states, {} steps, paths of up to {} in {:.1?}: {protocol:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
}

/// Returns a shortest path to the violation.
fn is_caught(protocol: Protocol, mutation: Mutation, property: &'static str) -> Vec<Action> {
    let protocol = Protocol {
        mutation: Some(mutation),
        ..protocol
    };
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = protocol.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(property);
    println!("{mutation:?} breaks \"{property}\". {path}");
    path.into_actions()
}

#[test]
fn the_promises_hold_around_an_invalidation() {
    holds(Protocol {
        writers: &[INVALIDATE_TWICE, INVALIDATE],
        refresh: true,
        panic: true,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_an_invalidation_in_two_steps() {
    holds(Protocol {
        writers: &[INVALIDATE_APART, INVALIDATE],
        refresh: true,
        panic: true,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_guarded_writes_that_end_in_two_steps() {
    holds(Protocol {
        readers: 2,
        writers: &[WRITE_APART, OTHER_WRITE, INVALIDATE_APART],
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_guarded_write_and_an_invalidation() {
    holds(Protocol {
        writers: &[WRITE, INVALIDATE],
        panic: true,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_guarded_writes_that_overlap() {
    holds(Protocol {
        writers: &[WRITE, OTHER_WRITE],
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_guards_that_are_renewed() {
    holds(Protocol {
        readers: 2,
        writers: &[RENEWED_WRITE, OTHER_RENEWED_WRITE],
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_an_invalidation_that_is_sent_twice_under_guards() {
    holds(Protocol {
        readers: 2,
        writers: &[WRITE, INVALIDATE_TWICE, INVALIDATE],
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_field_update_and_an_invalidation() {
    holds(Protocol {
        writers: &[UPDATE_FIELD, INVALIDATE],
        refresh: true,
        ..PLAIN
    });
}

/// The loader looks at a part of the record only, so it does not see the update.
#[test]
fn the_promises_hold_where_loaders_say_that_nothing_has_changed() {
    for writers in [
        &[UPDATE_FIELD, INVALIDATE] as &[_],
        &[UPDATE_FIELD, WRITE],
        &[WRITE, INVALIDATE_TWICE],
    ] {
        holds(Protocol {
            writers,
            refresh: true,
            keep: true,
            readers: 2,
            ..PLAIN
        });
    }
    holds(Protocol {
        writers: &[UPDATE_FIELD],
        refresh: true,
        keep: true,
        panic: true,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_field_update_and_a_guarded_write() {
    holds(Protocol {
        writers: &[UPDATE_FIELD, WRITE],
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_field_update_of_what_was_not_found() {
    holds(Protocol {
        writers: &[UPDATE_FIELD, INVALIDATE],
        not_found: true,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_clock_that_is_set_back_during_loads() {
    holds(Protocol {
        writers: &[INVALIDATE],
        refresh: true,
        panic: true,
        steps_back: 2,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_around_a_clock_that_is_set_back_during_guarded_writes() {
    holds(Protocol {
        readers: 2,
        writers: &[RENEWED_WRITE, OTHER_WRITE],
        steps_back: 1,
        ..PLAIN
    });
}

#[test]
fn the_promises_hold_where_loaders_read_a_replica_that_lags() {
    holds(Protocol {
        writers: &[INVALIDATE_AT, INVALIDATE],
        refresh: true,
        ..VERSIONS
    });
    holds(Protocol {
        writers: &[INVALIDATE_AT, WRITE],
        ..VERSIONS
    });
}

#[test]
fn the_promises_hold_around_a_write_through_and_another_write() {
    holds(Protocol {
        writers: &[WRITE_THROUGH, INVALIDATE_AT],
        ..VERSIONS
    });
    holds(Protocol {
        writers: &[WRITE_THROUGH, INVALIDATE],
        ..VERSIONS
    });
}

#[test]
fn the_promises_hold_around_writes_through_that_overlap() {
    // The readers are in the other process.
    let crashes = &[1];
    holds(Protocol {
        writers: &[WRITE_THROUGH, OTHER_WRITE_THROUGH],
        crashes,
        ..VERSIONS
    });
    holds(Protocol {
        writers: &[OTHER_WRITE_THROUGH, WRITE],
        crashes,
        ..VERSIONS
    });
}

#[test]
#[ignore = "26 million states"]
fn the_promises_hold_around_all_of_it() {
    holds(Protocol {
        writers: &[RENEWED_WRITE, OTHER_RENEWED_WRITE, INVALIDATE_TWICE],
        refresh: true,
        panic: true,
        ..PLAIN
    });
}
