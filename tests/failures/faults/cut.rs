//! Rows: connections are cut, and replies lost or never finished.

use super::{
    environment::{Environment, Wire},
    table::{
        AT_ONCE,
        Answer::{Deferred, Degraded, Done, Failed, Hit, Loaded, NoRecord},
        PATIENCE, Row, SILENCE,
    },
};
use crate::proxy::{Harm, Which};

/// The error of a client whose connection is cut.
const CUT: &str = "unexpected end of file|Connection reset|Broken pipe";

#[test]
fn a_connection_that_is_cut_before_the_request_is_opened_again() {
    Row {
        fault: "cut before the request, once",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::CutBefore),
        ends: Environment::spare,
        answers: [Hit, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn connections_that_are_cut_before_each_request_are_done_without() {
    Row {
        fault: "cut before each request",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::CutBefore),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_connection_that_is_cut_in_the_request_is_opened_again() {
    Row {
        fault: "cut in the middle of the request, once",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::CutInRequest),
        ends: Environment::spare,
        answers: [Hit, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn connections_that_are_cut_in_each_request_are_done_without() {
    Row {
        fault: "cut in the middle of each request",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::CutInRequest),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_reply_that_is_lost_is_asked_for_again() {
    Row {
        fault: "the first reply is lost",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::CutBeforeReply),
        ends: Environment::spare,
        answers: [Hit, Loaded, NoRecord, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_second_reply_that_is_lost_costs_only_a_lease() {
    Row {
        fault: "the second reply is lost",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(2), Harm::CutBeforeReply),
        ends: Environment::spare,
        answers: [Hit, Degraded, Done, Done, NoRecord],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_third_reply_that_is_lost_costs_nothing() {
    Row {
        fault: "the third reply is lost",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(3), Harm::CutBeforeReply),
        ends: Environment::spare,
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn replies_that_are_all_lost_are_done_without() {
    Row {
        fault: "each reply is lost",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::CutBeforeReply),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_connection_that_is_cut_in_the_reply_is_opened_again() {
    Row {
        fault: "cut in the middle of the reply, once",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::CutInReply),
        ends: Environment::spare,
        answers: [Hit, Loaded, NoRecord, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn connections_that_are_cut_in_each_reply_are_done_without() {
    Row {
        fault: "cut in the middle of each reply",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::CutInReply),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn replies_that_lack_their_last_byte_are_done_without() {
    Row {
        fault: "cut before the last byte of each reply",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::CutAtLastByte),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_reply_that_is_never_finished_costs_no_more_than_the_timeout() {
    Row {
        fault: "the first reply is never finished",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::StallInReply),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Done, NoRecord],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn replies_that_are_never_finished_cost_no_more_than_the_timeouts() {
    Row {
        fault: "no reply is ever finished",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::StallInReply),
        ends: Environment::spare,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

/// The calls share connections, and requests, with reads whose reply is always cut.
#[test]
fn replies_that_are_cut_beside_a_call_cost_it_nothing() {
    Row {
        fault: "cut in each reply with another record",
        wire: Wire::Proxied,
        begins: Environment::cut_beside,
        ends: |environment| {
            environment.release_connections();
            environment.spare();
        },
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn connections_that_the_network_has_forgotten_cost_one_timeout() {
    Row {
        fault: "the network has forgotten all open connections",
        wire: Wire::Proxied,
        begins: Environment::forget_connections,
        ends: |_| {},
        answers: [Degraded, Degraded, Failed, Done, NoRecord],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}
