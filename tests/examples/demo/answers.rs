//! The answers of the demo.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use super::{keys, start, start_with};

fn millis(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn products_lists_the_ids() {
    let (_redis, demo) = start();
    let (status, answer) = demo.get("/products");
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({ "products": ["p-001", "p-002", "p-003", "p-004"] })
    );
}

#[test]
fn a_read_misses_and_the_next_one_hits() {
    let (_redis, demo) = start();
    let miss = demo.read("p-001");
    assert_eq!(
        keys(&miss),
        [
            "id",
            "record",
            "hit",
            "source",
            "why",
            "redis_latency_ms",
            "total_latency_ms",
            "ttl_remaining",
            "stats"
        ]
    );
    assert_eq!(miss["id"], "p-001");
    assert_eq!(miss["hit"], false);
    assert_eq!(miss["source"], "loaded");
    assert_eq!(
        miss["record"].to_string(),
        r#"{"id":"p-001","name":"Sourdough Loaf","price_cents":"650","stock":"42"}"#
    );
    assert!(millis(&miss["total_latency_ms"]) >= 20.0);
    assert!(millis(&miss["redis_latency_ms"]) <= millis(&miss["total_latency_ms"]));

    let hit = demo.read("p-001");
    assert_eq!(hit["hit"], true);
    assert_eq!(hit["source"], "hit");
    assert_eq!(hit["record"], miss["record"]);
    let ttl = hit["ttl_remaining"].as_f64().expect("seconds");
    assert!(ttl > 0.0 && ttl <= 30.0, "{ttl}");
    assert_eq!(hit["stats"]["hits"], 1);
    assert_eq!(hit["stats"]["misses"], 1);
    assert_eq!(hit["stats"]["primary_reads_total"], 1);
}

#[test]
fn a_read_that_finds_nothing_is_404_and_says_what_it_cost() {
    let (_redis, demo) = start();
    let (status, nothing) = demo.get("/read?id=p-009");
    assert_eq!(status, 404);
    assert_eq!(nothing["error"], "there is no product p-009");
    assert_eq!(nothing["id"], "p-009");
    assert_eq!(nothing["record"], Value::Null);
    assert_eq!(nothing["source"], "loaded");
    assert_eq!(nothing["ttl_remaining"], Value::Null);
    assert!(millis(&nothing["total_latency_ms"]) >= 20.0);
    assert_eq!(nothing["stats"]["misses"], 1);
}

#[test]
fn the_four_products_are_those_of_the_shop() {
    let (_redis, demo) = start();
    let rows = ["p-001", "p-002", "p-003", "p-004"].map(|id| {
        let record = demo.read(id)["record"].clone();
        ["name", "price_cents", "stock"].map(|field| record[field].as_str().unwrap().to_owned())
    });
    assert_eq!(
        rows,
        [
            ["Sourdough Loaf", "650", "42"],
            ["Espresso Beans 250g", "1495", "120"],
            ["Olive Oil 500ml", "1200", "8"],
            ["Sea Salt Flakes", "475", "60"],
        ]
    );
}

#[test]
fn stats_count_and_a_reset_ends_the_count() {
    let (_redis, demo) = start();
    demo.read("p-001");
    demo.read("p-001");
    let (status, counted) = demo.get("/stats");
    assert_eq!(status, 200);
    assert_eq!(
        keys(&counted)[..6],
        [
            "hits",
            "misses",
            "stampedes_suppressed",
            "hit_rate_pct",
            "primary_reads_total",
            "primary_read_latency_ms"
        ]
    );
    assert_eq!(counted["hit_rate_pct"], 50.0);
    assert_eq!(counted["primary_read_latency_ms"], 20.0);

    let (status, reset) = demo.post("/reset", "");
    assert_eq!(status, 200);
    for (name, value) in reset.as_object().unwrap() {
        match name.as_str() {
            "primary_read_latency_ms" => assert_eq!(value, 20.0),
            "cache_ttl_s" => assert_eq!(value, 30),
            // Without reads there is no rate.
            "hit_rate_pct" => assert_eq!(value, &Value::Null),
            _ => assert_eq!(value.as_f64(), Some(0.0), "{name}"),
        }
    }
    assert_eq!(demo.get("/stats").1, reset);
}

#[test]
fn an_invalidation_tells_whether_a_record_was_cached() {
    let (_redis, demo) = start();
    let (status, answer) = demo.post("/invalidate", "id=p-001");
    assert_eq!(status, 200);
    assert_eq!(keys(&answer), ["id", "deleted", "stats"]);
    assert_eq!(answer["deleted"], false);
    demo.read("p-001");
    assert_eq!(demo.post("/invalidate", "id=p-001").1["deleted"], true);
    assert_eq!(demo.read("p-001")["source"], "loaded");
}

#[test]
fn an_update_is_seen_by_the_next_read() {
    let (_redis, demo) = start();
    demo.read("p-001");
    let (status, answer) = demo.post("/update", "id=p-001&field=name&value=Rye+%26+%3CSpelt%3E");
    assert_eq!(status, 200);
    assert_eq!(keys(&answer), ["id", "field", "value", "tags", "stats"]);
    assert_eq!(answer["value"], "Rye & <Spelt>");
    let found = demo.read("p-001");
    assert_eq!(found["source"], "loaded");
    assert_eq!(found["record"]["name"], "Rye & <Spelt>");
}

#[test]
fn an_update_of_a_field_leaves_the_record_cached() {
    let (_redis, demo) = start();
    let (status, answer) = demo.post("/update_field", "id=p-002&field=stock&value=119");
    assert_eq!(status, 200);
    assert_eq!(
        keys(&answer),
        ["id", "field", "value", "updated", "tags", "stats"]
    );
    assert_eq!(answer["updated"], false);
    assert_eq!(demo.read("p-002")["record"]["stock"], "119");

    let (_, answer) = demo.post("/update_field", "id=p-002&field=stock&value=118");
    assert_eq!(answer["updated"], true);
    let found = demo.read("p-002");
    assert_eq!(found["source"], "hit");
    assert_eq!(found["record"]["stock"], "118");
    // The primary has it too.
    demo.post("/invalidate", "id=p-002");
    assert_eq!(demo.read("p-002")["record"]["stock"], "118");
}

#[test]
fn fifty_readers_cost_one_read_of_the_primary() {
    let (_redis, demo) = start_with(&["--primary-latency-ms", "100"]);
    let (status, ran) = demo.post("/stampede", "id=p-001&concurrency=50");
    assert_eq!(status, 200);
    assert_eq!(
        keys(&ran),
        [
            "id",
            "concurrency",
            "primary_reads",
            "elapsed_ms",
            "results",
            "stats"
        ]
    );
    assert_eq!(ran["primary_reads"], 1);
    assert_eq!(ran["concurrency"], 50);
    let results = ran["results"].as_array().unwrap();
    assert_eq!(results.len(), 50);
    let loaded = |result: &&Value| result["source"] == "loaded";
    assert_eq!(results.iter().filter(loaded).count(), 1);
    for result in results {
        assert_eq!(
            keys(result),
            [
                "hit",
                "source",
                "started_ms",
                "finished_ms",
                "redis_latency_ms",
                "found"
            ]
        );
        assert_eq!(result["found"], true);
        assert_eq!(result["hit"], result["source"] == "hit");
        assert!(millis(&result["started_ms"]) <= millis(&result["finished_ms"]));
        assert!(millis(&result["finished_ms"]) <= millis(&ran["elapsed_ms"]));
    }
}

#[test]
fn fifty_readers_of_an_unknown_id_cost_one_read_too() {
    let (_redis, demo) = start_with(&["--primary-latency-ms", "1000"]);
    let (status, ran) = demo.post("/stampede", "id=p-404&concurrency=50");
    assert_eq!(status, 200);
    assert_eq!(ran["primary_reads"], 1);
    assert!(millis(&ran["elapsed_ms"]) < 2000.0, "{}", ran["elapsed_ms"]);
    let results = ran["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["found"] == false));
}

#[test]
fn a_stampede_has_twenty_readers_by_default() {
    let (_redis, demo) = start();
    assert_eq!(demo.post("/stampede", "id=p-001").1["concurrency"], 20);
    for wrong in ["1", "201", "-2", "2.5", "many", ""] {
        let (status, _) = demo.post("/stampede", &format!("id=p-001&concurrency={wrong}"));
        assert_eq!(status, 400, "{wrong}");
    }
}

#[test]
fn a_read_that_an_update_overtakes_leaves_nothing_stale() {
    let (_redis, demo) = start_with(&["--primary-latency-ms", "1500"]);
    thread::scope(|scope| {
        let overtaken = scope.spawn(|| demo.read("p-001"));
        demo.until_reads(1);
        // It has reached the primary, and stays there long enough for a busy machine.
        thread::sleep(Duration::from_millis(100));
        let (status, _) = demo.post("/update", "id=p-001&field=price_cents&value=699");
        assert_eq!(status, 200);
        // Before, at and after the moment at which the overtaken read would fill.
        for _ in 0..5 {
            assert_eq!(demo.read("p-001")["record"]["price_cents"], "699");
            thread::sleep(Duration::from_millis(60));
        }
        let overtaken = overtaken.join().unwrap();
        assert_eq!(overtaken["record"]["price_cents"], "650");
    });
    let found = demo.read("p-001");
    assert_eq!(found["record"]["price_cents"], "699");
    assert_eq!(found["stats"]["refused_fills"], 1);
}

#[test]
fn without_redis_reads_go_on_and_writes_say_what_they_did() {
    let (mut redis, demo) = start();
    demo.read("p-001");
    redis.kill();
    let found = demo.read("p-001");
    assert_eq!(found["source"], "degraded");
    let why = found["why"].as_str().unwrap();
    assert!(
        why.starts_with("request `read` to ") && why.contains(" failed: "),
        "{why}"
    );
    assert_eq!(found["ttl_remaining"], Value::Null);
    for path in ["/update", "/update_field"] {
        let (status, answer) = demo.post(path, "id=p-001&field=stock&value=41");
        assert_eq!(status, 503);
        let error = answer["error"].as_str().unwrap();
        assert!(
            error.starts_with(
                "the primary has the new value, but a cached record may be old for up to 30s: "
            ),
            "{error}"
        );
        assert_eq!(answer["changed"], true);
    }
    assert_eq!(demo.read("p-001")["record"]["stock"], "41");
    assert_eq!(demo.post("/invalidate", "id=p-001").0, 503);
    for (path, form) in [
        ("/expire", "id=p-001"),
        ("/clear", ""),
        ("/stampede", "id=p-001"),
    ] {
        assert_eq!(demo.post(path, form).0, 503, "{path}");
    }
}

#[test]
fn the_page_is_one_file_under_a_strict_policy() {
    let (_redis, demo) = start();
    let (status, headers, page) = demo.ask_plain("GET", "/", "");
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["connection"], "close");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"));
    assert!(!page.contains("{{nonce}}"));
    for outside in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }

    let (status, headers, body) = demo.ask_plain("HEAD", "/", "");
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(headers["content-length"], page.len().to_string());
}
