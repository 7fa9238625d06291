//! A model of the lease protocol, every interleaving of which is explored.
//!
//! **Modelled:** one key; three readers, two of them in one process and one in another; up to three writers with
//! `invalidate`, `write` and `update_field`, the first two also with their ends in two steps, as while a slot is being moved, the last on a record, on none and on a cached "not found"; flights,
//! watchers, refreshes, panicking loaders; a crash of a process at any step; lapse of leases, of guards and of
//! records at any moment; renewals; a writer's last request done twice, the second time late.
//!
//! **Not modelled:** lookups that Redis fails, which share nothing that a token would have to vouch for; wait
//! deadlines, which only end a wait sooner; late requests of readers, all but `acquire` fenced by a token;
//! `update`, which is a field update in one EXEC; two updates of one field at once, which is not promised.
//!
//! **Why it carries over:** what the callers have in common is Redis, which runs a script as one step, and the
//! flights of their process, which are looked up under one lock. Each script is a method in `redis.rs` and each
//! look at the flights a step of a caller, and between any two steps of one caller all others may go on. No
//! clock is trusted, and so none is modelled: what can lapse may do so at once or never. A stale lookup takes
//! one who loaded the old record, one who carries it on (who fills, leads or watches), one who gets it, the
//! write it misses, and a guard or two: there are as many callers as that. More of them are not covered.
//!
//! The flaws of `mutation.rs` show that the model sees what it should. What is promised is in `check.rs`, and there
//! also why every caller ends. The largest configuration takes minutes; `cargo test --release --test model --
//! --ignored --nocapture` runs it.

mod check;
mod lookup;
mod mutation;
mod reader;
mod redis;
mod state;
mod write;

use std::time::Instant;

use mutation::Mutation;
use state::{Action, Protocol, Write};
use stateright::{Checker, HasDiscoveries, Model};
use write::Kind;

/// Everybody reads and may crash, and nobody writes.
const PLAIN: Protocol = Protocol {
    readers: 3,
    writers: &[],
    crashes: &[0, 1],
    refresh: false,
    panic: false,
    not_found: false,
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

/// Returns the way to the violation, one of the shortest.
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
#[ignore = "26 million states"]
fn the_promises_hold_around_all_of_it() {
    holds(Protocol {
        writers: &[RENEWED_WRITE, OTHER_RENEWED_WRITE, INVALIDATE_TWICE],
        refresh: true,
        panic: true,
        ..PLAIN
    });
}
