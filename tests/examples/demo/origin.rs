//! A page of another origin: it changes nothing, and reads nothing.

use super::{start, talk};

/// All routes that change something.
const CHANGES: [&str; 9] = [
    "/settings",
    "/invalidate",
    "/expire",
    "/clear",
    "/update",
    "/update_field",
    "/update_primary",
    "/stampede",
    "/reset",
];

const READS: [&str; 9] = [
    "/",
    "/products",
    "/read?id=p-001",
    "/read_many?ids=all",
    "/list",
    "/about",
    "/metrics",
    "/audit",
    "/stats",
];

fn post(route: &str, headers: &str) -> String {
    format!("POST {route} HTTP/1.1\r\nContent-Length: 0\r\n{headers}\r\n")
}

/// It sends a form, as any page can to any address.
#[test]
fn a_page_of_another_origin_changes_nothing() {
    let (_redis, demo) = start();
    let own = demo.url.strip_prefix("http://").unwrap();
    for route in CHANGES {
        for foreign in [
            "Origin: http://evil.example",
            "Origin: http://127.0.0.1",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ] {
            let status = talk(
                &demo,
                &post(route, &format!("Host: {own}\r\n{foreign}\r\n")),
            );
            assert_eq!(status, "403", "{route}: {foreign}");
        }
        let own = format!("Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n");
        assert_ne!(talk(&demo, &post(route, &own)), "403", "{route}");
    }
}

/// Its name was changed to point at this machine, so the browser takes the demo for a part of it.
#[test]
fn a_page_whose_name_points_here_reads_and_changes_nothing() {
    let (_redis, demo) = start();
    for host in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8080",
    ] {
        let host = format!("Host: {host}\r\n");
        for route in CHANGES {
            assert_eq!(talk(&demo, &post(route, &host)), "403", "{route}: {host}");
        }
        for route in READS {
            let get = format!("GET {route} HTTP/1.1\r\n{host}\r\n");
            assert_eq!(talk(&demo, &get), "403", "{route}: {host}");
        }
    }
}

#[test]
fn an_address_localhost_and_a_program_without_a_host_are_served() {
    let (_redis, demo) = start();
    for host in [
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:8080",
        "localhost",
        "LOCALHOST:8080",
    ] {
        let get = format!("GET /stats HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(talk(&demo, &get), "200", "{host}");
    }
    assert_eq!(talk(&demo, "GET /stats HTTP/1.0\r\n\r\n"), "200");
    assert_eq!(talk(&demo, &post("/reset", "")), "200");
}
