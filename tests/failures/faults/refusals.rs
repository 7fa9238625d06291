//! Rows: the server answers, and rejects the request.

use super::{
    environment::Wire,
    table::{
        AT_ONCE,
        Answer::{Deferred, Degraded, Done, DoneOrNoRecord, Failed, Hit, Loaded, NoRecord},
        Row,
    },
};
use crate::support::{Server, free_port, until};

#[test]
fn a_full_server_is_read_and_invalidated() {
    Row {
        fault: "full (`maxmemory`, `noeviction`)",
        wire: Wire::Direct,
        begins: |environment| environment.tell(&["CONFIG", "SET", "maxmemory", "1"]),
        ends: |environment| environment.tell(&["CONFIG", "SET", "maxmemory", "0"]),
        // Redis 7.0 rejects a script in a transaction. 8.2 accepts it, and lets a script that has
        // deleted something write.
        answers: [Hit, Degraded, Done, Done, DoneOrNoRecord],
        because: "OOM",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_replica_of_a_lost_server_is_read() {
    Row {
        fault: "read-only replica, its master away",
        wire: Wire::Direct,
        begins: |environment| {
            let nobody = free_port().to_string();
            environment.tell(&["REPLICAOF", "127.0.0.1", &nobody]);
        },
        ends: |environment| environment.tell(&["REPLICAOF", "NO", "ONE"]),
        answers: [Hit, Degraded, Failed, Deferred, Failed],
        because: "You can't write against a read only replica",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_replica_of_another_server_is_read() {
    Row {
        fault: "read-only replica of another server",
        wire: Wire::Direct,
        begins: |environment| {
            let master = Server::start_on_port();
            let mut direct = master.connect();
            let at_once = ["SET", "repl-diskless-sync-delay", "0"];
            redis::cmd("CONFIG")
                .arg(&at_once)
                .exec(&mut direct)
                .unwrap();
            environment.tell(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
            until(|| {
                let mut direct = environment.server.connect();
                let state: String = redis::cmd("INFO")
                    .arg("replication")
                    .query(&mut direct)
                    .unwrap();
                state.contains("master_link_status:up")
            });
            environment.other = Some(master);
        },
        ends: |environment| environment.tell(&["REPLICAOF", "NO", "ONE"]),
        // The other server has no records.
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "You can't write against a read only replica",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_server_that_wants_a_password_all_of_a_sudden_is_done_without() {
    Row {
        fault: "a password is wanted (`NOAUTH`)",
        wire: Wire::Nameless,
        begins: |environment| {
            environment.set_user(&["resetpass", ">new"]);
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        },
        ends: |environment| environment.set_user(&["nopass"]),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "NOAUTH",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_server_whose_password_was_changed_is_done_without() {
    Row {
        fault: "the password was changed (`WRONGPASS`)",
        wire: Wire::Password,
        begins: |environment| {
            environment.set_user(&["resetpass", ">new"]);
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        },
        ends: |environment| environment.set_user(&["resetpass", ">secret"]),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        because: "assword",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_user_who_may_run_scripts_no_more_reads() {
    Row {
        fault: "no permission to write (`NOPERM`)",
        wire: Wire::Direct,
        begins: |environment| environment.set_user(&["-evalsha"]),
        ends: |environment| environment.set_user(&["+evalsha"]),
        // An update of a field is a transaction, without a script.
        answers: [Hit, Degraded, Failed, Deferred, Done],
        because: "no permissions to run the 'evalsha' command",
        within: AT_ONCE,
    }
    .holds();
}

/// The lease is given back at once, so the next lookup does not wait for it.
#[test]
fn a_record_that_the_server_refuses_is_returned() {
    Row {
        fault: "the record is refused (`HSET` denied)",
        wire: Wire::Direct,
        begins: |environment| environment.set_user(&["-hset"]),
        ends: |environment| environment.set_user(&["+hset"]),
        answers: [Hit, Loaded, Done, Done, NoRecord],
        because: "permissions",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_user_who_may_read_no_more_invalidates() {
    Row {
        fault: "no permission to read (`NOPERM`)",
        wire: Wire::Direct,
        begins: |environment| environment.set_user(&["-hgetall"]),
        ends: |environment| environment.set_user(&["+hgetall"]),
        // An update reads the record. It cannot, so it removes it.
        answers: [Degraded, Degraded, Done, Done, NoRecord],
        because: "no permissions to run the 'hgetall' command",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_server_that_has_too_many_clients_is_done_without() {
    Row {
        fault: "too many clients",
        wire: Wire::Direct,
        begins: |environment| {
            environment.tell(&["CONFIG", "SET", "maxclients", "1"]);
            environment.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        },
        ends: |environment| environment.tell(&["CONFIG", "SET", "maxclients", "1000"]),
        answers: [Degraded, Degraded, Failed, Deferred, Failed],
        // A closed connection may be noticed before the message.
        because: "max number of clients reached|Connection reset|unexpected end of file|Broken pipe",
        within: AT_ONCE,
    }
    .holds();
}
