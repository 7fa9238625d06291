//! Rows: the system has no more threads, or its resolver is slow. Each runs in its own process, in
//! which functions of the system are replaced.

use super::{
    environment::{LASTING, Wire},
    table::{
        AT_ONCE,
        Answer::{Deferred, Degraded, Done, Failed, Hit, Loaded},
        PATIENCE, Row,
    },
};
use crate::{child, system};

#[test]
fn a_system_without_threads_delays_no_call() {
    fn here() {}
    if child::has_run(std::any::type_name_of_val(&here), system::variables) {
        return;
    }
    Row {
        fault: "connections closed, and no thread can be started",
        wire: Wire::Direct,
        begins: |environment| {
            system::allow_threads_to_this_thread_only();
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        },
        ends: |_| system::is_well(),
        // As if only the connections had been closed.
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_slow_resolver_costs_no_more_than_the_timeouts() {
    fn here() {}
    if child::has_run(std::any::type_name_of_val(&here), system::variables) {
        return;
    }
    Row {
        fault: "connections closed, and the resolver is slow",
        wire: Wire::Named,
        begins: |environment| {
            system::lookups_take(LASTING);
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        },
        ends: |_| system::is_well(),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        // The last one: of a connection that was being opened when the others were closed.
        because: "the lookup of the host name took longer than 1s|no answer within 1s|\
                  Connection reset by peer",
        within: PATIENCE,
    }
    .holds();
}
