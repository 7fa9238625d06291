use std::sync::Arc;

use super::*;

#[test]
fn a_store_error_names_its_request_and_server_and_leaves_the_cause_to_the_chain() {
    let cut: Cause = Arc::new(std::io::Error::other("the wire was cut"));
    let at = |hint| Error::Store {
        request: "invalidate",
        cause: Arc::new(AtServer {
            address: "localhost:6379".into(),
            hint,
            cause: Arc::clone(&cut),
        }),
    };
    assert_eq!(
        at(None).to_string(),
        "request `invalidate` to localhost:6379 failed"
    );
    assert_eq!(
        format!("{:#}", at(Some("it speaks TLS"))),
        "request `invalidate` to localhost:6379 failed (it speaks TLS): the wire was cut"
    );
    let elsewhere = Error::Store {
        request: "invalidate",
        cause: cut,
    };
    assert_eq!(
        format!("{elsewhere:#}"),
        "request `invalidate` failed: the wire was cut"
    );
    assert_eq!(elsewhere.source().unwrap().to_string(), "the wire was cut");
}
