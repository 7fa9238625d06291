//! Rows: requests arrive when no caller waits for them any more, and others have written since.

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
fn a_request_that_arrives_late_does_no_harm() {
    Row {
        fault: "the first request is cut off, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::CutAndHold),
        ends: Environment::let_through_too_late,
        answers: [Hit, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_second_request_that_arrives_late_does_no_harm() {
    Row {
        fault: "the second request is cut off, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(2), Harm::CutAndHold),
        ends: Environment::let_through_too_late,
        answers: [Hit, Degraded, Done, Done, NoRecord],
        because: CUT,
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_third_request_that_arrives_late_does_no_harm() {
    Row {
        fault: "the third request is cut off, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(3), Harm::CutAndHold),
        ends: Environment::let_through_too_late,
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_request_that_is_held_back_does_no_harm() {
    Row {
        fault: "the first request is held back, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(1), Harm::Hold),
        ends: Environment::let_through_too_late,
        answers: [Degraded, Degraded, Failed, Done, NoRecord],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_second_request_that_is_held_back_does_no_harm() {
    Row {
        fault: "the second request is held back, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(2), Harm::Hold),
        ends: Environment::let_through_too_late,
        answers: [Hit, Degraded, Done, Deferred, NoRecord],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_third_request_that_is_held_back_does_no_harm() {
    Row {
        fault: "the third request is held back, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Nth(3), Harm::Hold),
        ends: Environment::let_through_too_late,
        answers: [Hit, Loaded, Done, Done, Done],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn requests_that_are_all_held_back_do_no_harm() {
    Row {
        fault: "each request is held back, and arrives late",
        wire: Wire::Proxied,
        begins: |environment| environment.harm(Which::Each, Harm::Hold),
        ends: Environment::let_through_too_late,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}
