//! Rows: bytes are slow, come in pieces, or are invalid.

use std::{thread, time::Duration};

use super::{
    environment::{Environment, TIMEOUT, Wire},
    table::{
        AT_ONCE,
        Answer::{Deferred, Degraded, Done, Failed, Hit, Loaded},
        PATIENCE, Row, SILENCE,
    },
};
use crate::proxy::{Harm, Which};

#[test]
fn bytes_that_are_delayed_are_waited_for() {
    Row {
        fault: "bytes delayed by 20 ms",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::Delay(Duration::from_millis(20))),
        ends: Environment::spare,
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn bytes_that_are_delayed_for_too_long_cost_no_more_than_the_timeouts() {
    Row {
        fault: "bytes delayed for longer than the timeouts",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::Delay(2 * TIMEOUT)),
        ends: |environment| {
            environment.spare();
            // All delayed bytes have arrived by then. A late invalidation would remove an expected
            // hit.
            thread::sleep(2 * TIMEOUT);
        },
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn bytes_that_come_one_by_one_are_put_together() {
    Row {
        fault: "bytes split into single ones",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::Split),
        ends: Environment::spare,
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_reply_of_another_protocol_is_done_without() {
    Row {
        fault: "nonsense: another protocol",
        wire: Wire::Proxied,
        begins: |environment| {
            environment.harm(
                Which::Each,
                Harm::Replace(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            );
        },
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "the reply is invalid",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_reply_of_another_type_is_done_without() {
    Row {
        fault: "nonsense: a reply of another type",
        wire: Wire::Proxied,
        begins: |environment| {
            environment.harm(
                Which::Each,
                Harm::Replace(b"*1\r\n*1\r\n$9\r\nSourdough\r\n"),
            );
        },
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        // The second alternative: on a connection that logs in.
        because: "the reply is invalid|refused to authenticate",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_reply_that_promises_too_much_costs_no_more_than_the_timeouts() {
    Row {
        fault: "nonsense: a reply of two thousand million parts",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::Replace(b"*2147483647\r\n")),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "`max_reply_size`",
        within: PATIENCE,
    }
    .holds();
}
