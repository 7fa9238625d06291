//! The requests that the demo rejects, and their status.

use super::{keys, start, talk};

#[test]
fn what_does_not_exist_is_404() {
    let (_redis, demo) = start();
    for (method, path, form) in [
        ("POST", "/update", "id=p-009&field=stock&value=1"),
        ("POST", "/update_field", "id=p-009&field=stock&value=1"),
        ("GET", "/nothing", ""),
        ("POST", "/read/", "id=p-001"),
        ("DELETE", "/products/p-001", ""),
    ] {
        let (status, answer) = demo.ask(method, path, form);
        assert_eq!(status, 404, "{method} {path}");
        assert_eq!(keys(&answer), ["error"], "{method} {path}");
    }
}

#[test]
fn a_malformed_request_is_400() {
    let (_redis, demo) = start();
    let many = format!("/read_many?ids={}", ["p-001"; 101].join(","));
    for path in [
        "/read",
        "/read?id=",
        "/read?id=%zz",
        "/read?id=a&id=b",
        "/read_many",
        "/read_many?ids=",
        "/read_many?ids=a,,b",
        &many,
    ] {
        let (status, answer) = demo.get(path);
        assert_eq!((status, keys(&answer)), (400, vec!["error"]), "{path}");
    }
    for (path, form) in [
        ("/invalidate", ""),
        ("/invalidate", "id="),
        ("/invalidate", "p-001"),
        ("/invalidate", "id=%f"),
        ("/invalidate", "id=%FF"),
        ("/invalidate", "id=é"),
        ("/update", "id=p-001&field=stock"),
        ("/update", "id=p-001&value=1"),
        ("/update", "id=p-001&field=id&value=p-002"),
        ("/update_field", "id=p-001&field=colour&value=red"),
        ("/update_field", "field=stock&value=1"),
        ("/update", r#"{"id":"p-001","field":"stock","value":"1"}"#),
        ("/stampede", "concurrency=5"),
        ("/expire", "id="),
        ("/settings", ""),
        ("/settings", "near=on"),
        ("/settings", "grace=yes"),
        ("/settings", "grace=on&grace=off"),
    ] {
        let (status, answer) = demo.post(path, form);
        assert_eq!(
            (status, keys(&answer)),
            (400, vec!["error"]),
            "{path} {form}"
        );
    }
}

#[test]
fn a_wrong_method_is_405_and_names_the_right_one() {
    let (_redis, demo) = start();
    for (method, path, allowed) in [
        ("POST", "/read?id=p-001", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("PUT", "/stats", "GET, HEAD"),
        ("GET", "/invalidate", "POST"),
        ("GET", "/update", "POST"),
        ("PUT", "/update_field", "POST"),
        ("GET", "/stampede", "POST"),
        ("HEAD", "/reset", "POST"),
        ("GET", "/clear", "POST"),
        ("GET", "/expire", "POST"),
        ("POST", "/read_many", "GET, HEAD"),
        ("POST", "/list", "GET, HEAD"),
        ("DELETE", "/settings", "GET, HEAD, POST"),
    ] {
        let (status, headers, _) = demo.ask_plain(method, path, "");
        assert_eq!(status, 405, "{method} {path}");
        assert_eq!(headers["allow"], allowed, "{method} {path}");
    }
}

#[test]
fn a_body_over_64_kib_is_413() {
    let (_redis, demo) = start();
    let longest = format!("id={}", "x".repeat(64 * 1024 - 3));
    assert_eq!(demo.post("/invalidate", &longest).0, 200);
    let (status, answer) = demo.post("/invalidate", &format!("{longest}x"));
    assert_eq!((status, keys(&answer)), (413, vec!["error"]));
}

#[test]
fn a_body_in_chunks_or_one_that_breaks_off_is_refused() {
    let (_redis, demo) = start();
    let post = "POST /invalidate HTTP/1.1\r\n";
    // Whole; without the end; broken off within a chunk.
    for chunks in [
        "8\r\nid=p-001\r\n0\r\n\r\n",
        "8\r\nid=p-001\r\n",
        "8\r\nid=",
    ] {
        let head = "Transfer-Encoding: chunked\r\n\r\n";
        let status = talk(&demo, &format!("{post}{head}{chunks}"));
        assert!(["411", "400"].contains(&&*status), "{status}: {chunks}");
    }
    // `tiny_http` itself drops a request with a short body that breaks off.
    let head = "Content-Length: 8\r\n\r\n";
    assert_eq!(talk(&demo, &format!("{post}{head}id=p-00")), "");
    assert_eq!(talk(&demo, &format!("{post}{head}id=p-001")), "200");
    let head = "Content-Length: 2000\r\n\r\n";
    assert_eq!(talk(&demo, &format!("{post}{head}id=p-001")), "400");
}

#[test]
fn a_body_that_claims_to_be_endless_does_not_end_the_server() {
    let (_redis, demo) = start();
    for claim in ["99999999999999", "18446744073709551615", "-1"] {
        talk(
            &demo,
            &format!("POST /update HTTP/1.1\r\nContent-Length: {claim}\r\n\r\nid="),
        );
    }
    assert_eq!(demo.get("/products").0, 200);
}
