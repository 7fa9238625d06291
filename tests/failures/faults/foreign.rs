//! Rows: another program has written to the key of a record or a lease.

use super::{
    environment::{Call, Cell, Environment, Wire},
    table::{
        AT_ONCE,
        Answer::{Done, Hit, Loaded, NoRecord},
        Row,
    },
};

#[test]
fn a_string_at_the_data_key_is_a_miss() {
    Row {
        fault: "a string at the data key",
        wire: Wire::Direct,
        begins: |environment| environment.tell_for_each(&["SET DATA foreign EX 60"]),
        ends: |_| {},
        answers: [Loaded, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_list_at_the_data_key_is_a_miss() {
    Row {
        fault: "a list at the data key",
        wire: Wire::Direct,
        begins: |environment| {
            environment.tell_for_each(&["DEL DATA", "RPUSH DATA foreign", "EXPIRE DATA 60"]);
        },
        ends: |_| {},
        answers: [Loaded, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn an_entry_that_does_not_decode_is_a_miss() {
    Row {
        fault: "an entry that does not decode",
        wire: Wire::Direct,
        begins: |environment| {
            environment.tell_for_each(&["HSET DATA version many name Loaf", "EXPIRE DATA 60"]);
        },
        ends: |_| {},
        answers: [Loaded, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn fields_beside_those_of_the_record_are_passed_over() {
    Row {
        fault: "further fields in the entry",
        wire: Wire::Direct,
        begins: |environment| {
            let fields = "HSET DATA version 1 name Loaf shelf 7";
            environment.tell_for_each(&[fields, "EXPIRE DATA 60"]);
        },
        ends: |_| {},
        // The record is not affected, so it is cached in the second column, too.
        answers: [Hit, Hit, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn fields_that_were_added_to_the_sign_of_an_absent_record_make_none() {
    Row {
        fault: "fields added to an entry that says “no record”",
        wire: Wire::Direct,
        begins: |environment| {
            let fields = "HSET DATA __cache_aside_not_found 1 version 0 name Loaf";
            environment.tell_for_each(&["DEL DATA", fields, "EXPIRE DATA 60"]);
        },
        ends: |_| {},
        answers: [Loaded, Loaded, Done, Done, NoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_list_at_the_lease_key_is_taken_away() {
    Row {
        fault: "a list at the lease key",
        wire: Wire::Direct,
        begins: |environment| {
            environment.tell_for_each(&["RPUSH LEASE foreign", "EXPIRE LEASE 60"]);
        },
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_hash_at_the_lease_key_is_taken_away() {
    Row {
        fault: "a hash at the lease key",
        wire: Wire::Direct,
        begins: |environment| {
            environment.tell_for_each(&["HSET LEASE a foreign", "EXPIRE LEASE 60"]);
        },
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_hash_that_looks_like_a_guard_is_taken_away() {
    Row {
        fault: "a hash at the lease key that looks like ours",
        wire: Wire::Direct,
        // It only lacks a TTL.
        begins: |environment| {
            let nonce = "0123456789abcdef0123456789abcdef";
            lay_lock(
                environment,
                &format!("HSET LEASE nonce {nonce} writer 9999999999999"),
            );
        },
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

#[test]
fn a_lock_without_an_end_gets_one() {
    Row {
        fault: "a string without a TTL at the lease key",
        wire: Wire::Direct,
        begins: |environment| lay_lock(environment, "SET LEASE foreign"),
        ends: |_| {},
        answers: [Hit, Loaded, Done, Done, Done],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}

/// Without a TTL. Not where the record stays cached: there no call reads the lease, and it would
/// stay.
fn lay_lock(environment: &mut Environment, command: &str) {
    environment.tell_for_each(&[command]);
    let cached = |cell: &&Cell| matches!(cell.call, Call::GetHit | Call::UpdateField);
    let unseen: Vec<_> = environment
        .cells
        .iter()
        .filter(cached)
        .map(Cell::lease_key)
        .collect();
    for lease in unseen {
        environment.tell(&["DEL", &lease]);
    }
}
