//! The demo's answers about many products at once.

use serde_json::{Value, json};

use super::{keys, on_both};
use crate::demo_server::Demo;

fn read_many(demo: &Demo, ids: &str) -> Value {
    let (status, answer) = demo.get(&format!("/read_many?ids={ids}"));
    assert_eq!(status, 200, "{answer}");
    answer
}

fn sources(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    let sources = results.iter().map(|found| found["source"].as_str());
    sources.map(Option::unwrap).collect()
}

#[test]
fn all_products_cost_one_read_of_the_primary_and_then_none() {
    on_both(|demo| {
        let answer = read_many(demo, "all");
        assert_eq!(
            keys(&answer),
            [
                "results",
                "total_latency_ms",
                "round_trips",
                "primary_reads",
                "one_by_one",
                "stats"
            ]
        );
        assert_eq!(sources(&answer), ["loaded"; 4]);
        let first = &answer["results"][0];
        assert_eq!(keys(first), ["id", "record", "hit", "source", "why"]);
        assert_eq!(first["record"]["name"], "Sourdough Loaf");
        assert_eq!(
            [&answer["round_trips"], &answer["primary_reads"]],
            [&json!(3), &json!(1)]
        );
        assert_eq!(
            answer["one_by_one"],
            json!({ "round_trips": 12, "primary_reads": 4 })
        );
        assert_eq!(answer["stats"]["primary_reads_total"], 1);

        let answer = read_many(demo, "all");
        assert_eq!(sources(&answer), ["hit"; 4]);
        assert_eq!(
            [&answer["round_trips"], &answer["primary_reads"]],
            [&json!(1), &json!(0)]
        );
        assert_eq!(
            answer["one_by_one"],
            json!({ "round_trips": 4, "primary_reads": 0 })
        );
    });
}

#[test]
fn some_products_come_in_the_order_in_which_they_were_asked_for() {
    on_both(|demo| {
        demo.read("p-002");
        let answer = read_many(demo, "p-003,p-002,p-404");
        let results = answer["results"].as_array().unwrap();
        let ids: Vec<_> = results.iter().map(|found| &found["id"]).collect();
        assert_eq!(ids, ["p-003", "p-002", "p-404"]);
        assert_eq!(sources(&answer), ["loaded", "hit", "loaded"]);
        assert_eq!(results[2]["record"], Value::Null);
        assert_eq!(
            answer["one_by_one"],
            json!({ "round_trips": 7, "primary_reads": 2 })
        );
    });
}

/// One read, the leases of the missing records, the lease of the stale one, and the fills.
#[test]
fn a_batch_that_refreshes_and_loads_does_both_in_one_read_of_the_primary() {
    on_both(|demo| {
        demo.post("/settings", "grace=on");
        demo.read("p-001");
        demo.post("/expire", "id=p-001");
        let answer = read_many(demo, "p-001,p-002");
        assert_eq!(sources(&answer), ["refreshed", "loaded"]);
        assert_eq!(
            [&answer["round_trips"], &answer["primary_reads"]],
            [&json!(4), &json!(1)]
        );
        assert_eq!(
            answer["one_by_one"],
            json!({ "round_trips": 6, "primary_reads": 2 })
        );
    });
}

#[test]
fn a_batch_of_which_nothing_can_be_loaded_is_an_error() {
    on_both(|demo| {
        demo.post("/settings", "primary_fails=on");
        let (status, answer) = demo.get("/read_many?ids=all");
        assert_eq!(status, 502);
        assert_eq!(
            answer,
            json!({ "error": "the loader failed: the primary store is down" })
        );
    });
}

#[test]
fn a_clear_tells_how_many_records_there_were() {
    on_both(|demo| {
        assert_eq!(demo.post("/clear", "").1["ended"], 0);
        read_many(demo, "all");
        let (status, answer) = demo.post("/clear", "");
        assert_eq!((status, &answer["ended"]), (200, &json!(4)));
        assert_eq!(keys(&answer), ["ended", "stats"]);
        assert_eq!(demo.read("p-001")["source"], "loaded");
    });
}
