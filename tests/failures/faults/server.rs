//! Rows: the server dies, stops, or forgets.

use super::{
    environment::{Environment, LASTING, Wire},
    table::{
        AT_ONCE,
        Answer::{Deferred, Degraded, Done, Failed, Hit, Loaded, NoRecord},
        PATIENCE, Row, SILENCE,
    },
};
use crate::{clock::HOUR, support::until};

#[test]
fn a_server_that_was_killed_and_restarted_empty_is_asked_again_without_an_error() {
    Row {
        fault: "killed, and restarted empty",
        wire: Wire::Direct,
        begins: |environment| {
            environment.server.kill();
            environment.server.start_again();
        },
        ends: |_| {},
        answers: [Loaded, Loaded, NoRecord, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_server_that_was_killed_and_is_away_costs_a_moment() {
    Row {
        fault: "killed, and away",
        wire: Wire::Direct,
        begins: |environment| environment.server.kill(),
        ends: |environment| environment.server.start_again(),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "Connection refused",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_clock_that_is_set_back_costs_no_more_than_a_lease() {
    Row {
        fault: "clock set back by an hour, and leases of dead processes",
        wire: Wire::Stepped,
        begins: |environment| environment.die_in_mid_load_and_step_clock(-HOUR),
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_clock_that_is_set_forward_ends_records_and_leases() {
    Row {
        fault: "clock set forward by an hour, and leases of dead processes",
        wire: Wire::Stepped,
        begins: |environment| environment.die_in_mid_load_and_step_clock(HOUR),
        ends: |_| {},
        answers: [Loaded, Loaded, NoRecord, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_server_that_is_stopped_costs_no_more_than_the_timeouts() {
    Row {
        fault: "stopped (`SIGSTOP`), then continued",
        wire: Wire::Direct,
        begins: |environment| environment.server.freeze(),
        ends: |environment| environment.server.thaw(),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_server_that_is_stopped_while_connections_log_in_costs_no_more_than_the_timeouts() {
    Row {
        fault: "stopped, and new connections log in",
        wire: Wire::Password,
        begins: |environment| {
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
            environment.server.freeze();
        },
        ends: |environment| environment.server.thaw(),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_server_that_is_paused_costs_no_more_than_the_timeouts() {
    Row {
        fault: "`CLIENT PAUSE`",
        wire: Wire::Direct,
        // It cannot be ended early: that command would have to wait as well.
        begins: |environment| {
            environment.tell(&["CLIENT", "PAUSE", &LASTING.as_millis().to_string()]);
        },
        ends: |environment| environment.tell(&["PING"]),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_server_that_is_paused_for_writes_is_read() {
    Row {
        fault: "`CLIENT PAUSE … WRITE`",
        wire: Wire::Direct,
        begins: |environment| environment.tell(&["CLIENT", "PAUSE", "60000", "WRITE"]),
        ends: |environment| environment.tell(&["CLIENT", "UNPAUSE"]),
        answers: [Hit, Degraded, Failed, Deferred, Failed],
        because: SILENCE,
        within: PATIENCE,
    }
    .holds();
}

#[test]
fn a_server_that_loads_its_snapshot_is_done_without() {
    Row {
        fault: "loading its snapshot (`LOADING`)",
        wire: Wire::Direct,
        begins: |environment| {
            // 500 keys of 2 KiB, 20 ms for each. The server reads its connections after each.
            let value = "x".repeat(2048);
            for key in 0..500 {
                environment.tell(&["SET", &format!("ballast:{key}"), &value, "EX", "60"]);
            }
            environment.tell(&["CONFIG", "SET", "rdbcompression", "no"]);
            environment.tell(&["SAVE"]);
            environment.server.kill();
            let delay = ["--key-load-delay", "20000"];
            let look = ["--loading-process-events-interval-bytes", "1024"];
            environment.server.start_again_with(&[delay, look].concat());
        },
        ends: |environment| {
            environment.admin = environment.server.connect();
            environment.tell(&["CONFIG", "SET", "key-load-delay", "0"]);
            until(|| {
                let mut direct = environment.server.connect();
                redis::cmd("KEYS").arg("*").exec(&mut direct).is_ok()
            });
        },
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "is loading the dataset in memory",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn connections_that_the_server_closed_are_opened_again() {
    Row {
        fault: "idle connections closed",
        wire: Wire::Direct,
        begins: |environment| environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]),
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn scripts_that_the_server_forgot_are_sent_again() {
    Row {
        fault: "`SCRIPT FLUSH`",
        wire: Wire::Direct,
        begins: |environment| environment.tell(&["SCRIPT", "FLUSH"]),
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn records_that_the_server_forgot_are_loaded_again() {
    Row {
        fault: "`FLUSHALL`",
        wire: Wire::Direct,
        begins: |environment| environment.tell(&["FLUSHALL"]),
        ends: |_| {},
        answers: [Loaded, Loaded, NoRecord, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_pool_whose_connections_are_all_in_use_costs_no_more_than_the_timeout() {
    Row {
        fault: "pool exhausted",
        wire: Wire::Single,
        begins: Environment::hold_connections,
        ends: Environment::release_connections,
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "none of the pool's connections (1) was free in time",
        within: PATIENCE,
    }
    .holds();
}
