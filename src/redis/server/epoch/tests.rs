//! When connections to a former server stop being used.

use super::*;

fn server(role: Role, run_id: Option<&str>) -> ServerIdentity {
    let (role, run_id) = (Some(role), run_id.map(str::to_owned));
    ServerIdentity { role, run_id }
}

fn master(run_id: &str) -> ServerIdentity {
    server(Role::Master, Some(run_id))
}

fn replica(run_id: &str) -> ServerIdentity {
    server(Role::Replica, Some(run_id))
}

/// Opens a connection while no other connection is being opened.
fn open(servers: &ServerEpoch, server: ServerIdentity) -> u64 {
    servers.admit(servers.opening(), server).unwrap()
}

#[test]
fn a_connection_to_another_server_ends_the_epoch_of_those_before_it() {
    let servers = ServerEpoch::default();
    let first = open(&servers, master("a"));
    assert_eq!(first, servers.current());
    assert_eq!(open(&servers, master("a")), first);
    let second = open(&servers, master("b"));
    assert_ne!(second, first);
    assert_eq!(second, servers.current());
}

#[test]
fn of_connections_opened_at_the_same_time_one_server_is_used() {
    let servers = ServerEpoch::default();
    let openings = [(); 3].map(|()| servers.opening());
    let used = servers.admit(openings[0], master("a")).unwrap();
    assert_eq!(servers.admit(openings[1], master("b")).unwrap(), NEVER);
    assert_eq!(servers.admit(openings[2], master("a")).unwrap(), used);
    assert_eq!(used, servers.current());
    let openings = [(); 2].map(|()| servers.opening());
    let used = servers.admit(openings[1], master("b")).unwrap();
    assert_eq!(servers.admit(openings[0], master("a")).unwrap(), NEVER);
    assert_eq!(used, servers.current());
}

#[test]
fn an_epoch_is_retired_once_and_what_was_opened_before_is_not_used() {
    let servers = ServerEpoch::default();
    let first = open(&servers, master("a"));
    let opening = servers.opening();
    servers.retire(first);
    servers.retire(first);
    assert_eq!(servers.current(), first + 1);
    assert_eq!(servers.admit(opening, master("a")).unwrap(), NEVER);
    assert_eq!(open(&servers, replica("a")), first + 1);
}

#[test]
fn a_master_that_has_become_a_replica_is_another_server() {
    let servers = ServerEpoch::default();
    let first = open(&servers, master("a"));
    // The next connection shows whether the address still leads to that server.
    assert_eq!(open(&servers, replica("a")), NEVER);
    assert_eq!(servers.current(), first + 1);
    assert!(!servers.is_replica());
    assert_eq!(open(&servers, replica("a")), first + 1);
    assert!(servers.is_replica());
}

#[test]
fn replicas_are_not_distinguished() {
    let servers = ServerEpoch::default();
    let first = open(&servers, replica("a"));
    assert_eq!(open(&servers, replica("b")), first);
}

#[test]
fn a_server_that_denies_its_run_id_is_another_than_one_that_reports_it() {
    let denies = |role| server(role, None);
    let servers = ServerEpoch::default();
    let first = open(&servers, master("a"));
    // This connection had asked before the next one was denied.
    let opening = servers.opening();
    let second = open(&servers, denies(Role::Master));
    assert_ne!(second, first);
    assert_eq!(servers.admit(opening, master("a")).unwrap(), NEVER);
    // From now on only the role is known, and it may be denied too.
    assert_eq!(open(&servers, denies(Role::Master)), second);
    assert_eq!(open(&servers, ServerIdentity::default()), second);
    assert_eq!(open(&servers, denies(Role::Replica)), NEVER);
    assert_eq!(servers.current(), second + 1);
}

#[test]
fn servers_in_turn_are_changed_once_a_second_each() {
    let servers = ServerEpoch::default();
    open(&servers, master("a"));
    open(&servers, master("b"));
    let third = open(&servers, master("c"));
    for back in ["a", "b"] {
        servers.admit(servers.opening(), master(back)).unwrap_err();
    }
    assert_eq!(open(&servers, master("c")), third);
}
