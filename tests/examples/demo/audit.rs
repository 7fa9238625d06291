//! The audit: a change of the primary of which nobody told the cache.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::on_both;
use crate::demo_server::Demo;

fn post(demo: &Demo, path: &str, form: &str) {
    let (status, answer) = demo.post(path, form);
    assert_eq!(status, 200, "{answer}");
}

/// Reads `p-001` until the audit reports this.
fn until_reported(demo: &Demo, expected: &Value) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        demo.read("p-001");
        let reports = demo.get("/audit").1["reports"].clone();
        if reports == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{reports}");
        // The only way to learn the state of another process is to ask it.
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_change_of_which_nobody_told_the_cache_is_reported_until_it_is_mended() {
    on_both(|demo| {
        post(demo, "/settings", "audit=on");
        demo.read("p-001");
        post(demo, "/update_primary", "id=p-001&field=stock&value=41");
        assert_eq!(demo.read("p-001")["record"]["stock"], "42");
        let report = json!({ "id": "p-001", "kind": "fields", "fields": ["stock"] });
        until_reported(demo, &json!([report]));
        let stats = demo.get("/stats").1;
        assert!(stats["inconsistencies"].as_u64().unwrap() > 0, "{stats}");
        post(demo, "/invalidate", "id=p-001");
        until_reported(demo, &json!([]));
        assert_eq!(demo.read("p-001")["record"]["stock"], "41");
    });
}

#[test]
fn without_the_switch_nothing_is_compared() {
    on_both(|demo| {
        demo.read("p-001");
        post(demo, "/update_primary", "id=p-001&field=stock&value=41");
        demo.read("p-001");
        let stats = demo.get("/stats").1;
        assert_eq!(
            (&stats["audits"], &stats["primary_reads_total"]),
            (&json!(0), &json!(1))
        );
        let (refused, _) = demo.post("/update_primary", "id=p-404&field=stock&value=1");
        assert_eq!(refused, 404);
    });
}
