//! Rows: the address leads to another server.

use std::{thread, time::Duration};

use super::{
    environment::{Cell, Wire},
    table::{
        AT_ONCE,
        Answer::{Done, DoneOrNoRecord, Hit, Loaded},
        Row,
    },
};
use crate::support::{Server, until};

/// Makes one server the master of the other, when both have all writes, and moves each cache's
/// address to it. The connections to the former master stay open.
fn make_master(cells: &[Cell], new: &Server, old: &Server) {
    // Until the replica has all writes.
    let mut wait = redis::cmd("WAIT");
    wait.arg(1).arg(10_000);
    assert_eq!(wait.query::<u32>(&mut old.connect()).unwrap(), 1);
    tell(new, &["NO", "ONE"]);
    for cell in cells {
        cell.proxy().move_to(new.port());
    }
    follow(old, new);
}

fn follow(replica: &Server, master: &Server) {
    tell(replica, &["127.0.0.1", &master.port().to_string()]);
    until(|| {
        let mut info = redis::cmd("INFO");
        let state: String = info
            .arg("replication")
            .query(&mut replica.connect())
            .unwrap();
        state.contains("master_link_status:up")
    });
}

fn tell(server: &Server, replicaof: &[&str]) {
    let mut command = redis::cmd("REPLICAOF");
    command.arg(replicaof).exec(&mut server.connect()).unwrap();
}

#[test]
fn a_master_that_is_replaced_behind_its_address_is_followed() {
    Row {
        fault: "the address leads to a new master, and the former one stays up",
        wire: Wire::Proxied,
        begins: |environment| {
            let at_once = ["--repl-diskless-sync-delay", "0"];
            environment.tell(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
            let new = Server::start_on_port_with(&at_once);
            follow(&new, &environment.server);
            make_master(&environment.cells, &new, &environment.server);
            environment.other = Some(new);
        },
        ends: |environment| {
            // Sooner, the pools do not return to a server that they have left.
            thread::sleep(Duration::from_millis(1_100));
            let former = environment.other.as_ref().expect("it was started");
            make_master(&environment.cells, &environment.server, former);
        },
        // An update that the former master refuses becomes an invalidation.
        answers: [Hit, Loaded, Done, Done, DoneOrNoRecord],
        because: "",
        within: AT_ONCE,
    }
    .holds();
}
