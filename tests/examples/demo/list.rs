//! The list of products: one cached record, under a tag that updates of products invalidate.

use std::thread;

use serde_json::{Value, json};

use super::{keys, on_both, start, start_with};
use crate::demo_server::Demo;

fn list(demo: &Demo) -> Value {
    let (status, found) = demo.get("/list");
    assert_eq!(status, 200, "{found}");
    found
}

/// An update that must succeed: the tags that it invalidated.
fn update(demo: &Demo, path: &str, id: &str, field: &str, value: &str) -> Value {
    let (status, answer) = demo.post(path, &format!("id={id}&field={field}&value={value}"));
    assert_eq!(status, 200, "{answer}");
    answer["tags"].clone()
}

#[test]
fn the_list_is_loaded_by_one_read_of_the_primary_and_then_a_hit() {
    on_both(|demo| {
        let loaded = list(demo);
        assert_eq!(
            keys(&loaded),
            [
                "products",
                "hit",
                "source",
                "redis_latency_ms",
                "total_latency_ms",
                "stats"
            ]
        );
        assert_eq!(loaded["source"], "loaded");
        assert_eq!(loaded["hit"], false);
        assert!(loaded["total_latency_ms"].as_f64().unwrap() >= 20.0);
        let products = loaded["products"].as_array().unwrap();
        assert_eq!(products.len(), 4);
        assert_eq!(
            products[0],
            json!({ "id": "p-001", "name": "Sourdough Loaf", "price_cents": "650" })
        );

        let hit = list(demo);
        assert_eq!((&hit["source"], &hit["hit"]), (&json!("hit"), &json!(true)));
        assert_eq!(hit["products"], loaded["products"]);
        assert_eq!(hit["stats"]["primary_reads_total"], 1);
    });
}

#[test]
fn a_new_price_of_any_product_ends_the_list_and_a_new_stock_does_not() {
    on_both(|demo| {
        list(demo);
        for path in ["/update", "/update_field"] {
            for (place, id) in ["p-001", "p-002", "p-003", "p-004"].iter().enumerate() {
                let price = format!("{}{place}", path.len());
                let tags = update(demo, path, id, "price_cents", &price);
                assert_eq!(tags, json!(["products"]));
                let found = list(demo);
                assert_eq!(found["source"], "loaded", "{path} {id}");
                assert_eq!(found["products"][place]["price_cents"], *price);

                assert_eq!(update(demo, path, id, "stock", "7"), json!([]));
                assert_eq!(list(demo)["source"], "hit", "{path} {id}");
            }
        }
        update(demo, "/update", "p-004", "name", "Salt");
        assert_eq!(list(demo)["products"][3]["name"], "Salt");
    });
}

#[test]
fn what_changes_no_product_leaves_the_list_cached() {
    on_both(|demo| {
        list(demo);
        demo.read("p-001");
        demo.post("/invalidate", "id=p-001");
        demo.post("/expire", "id=p-002");
        demo.post("/stampede", "id=p-003");
        demo.post("/settings", "near_cache=on");
        for form in [
            "id=p-009&field=price_cents&value=1",
            "id=p-001&field=colour&value=red",
        ] {
            assert!(matches!(demo.post("/update", form).0, 400 | 404), "{form}");
        }
        assert_eq!(list(demo)["source"], "hit");
    });
}

#[test]
fn a_clear_removes_the_list_too() {
    on_both(|demo| {
        demo.read("p-001");
        list(demo);
        assert_eq!(demo.post("/clear", "").1["ended"], 2);
        assert_eq!(list(demo)["source"], "loaded");
    });
}

/// A unit of work ends the record when its guard is set, and so must not be guarded too early.
#[test]
fn an_update_that_the_primary_refuses_leaves_the_product_and_the_list_cached() {
    on_both(|demo| {
        demo.read("p-001");
        list(demo);
        demo.post("/settings", "primary_fails=on");
        for path in ["/update", "/update_field"] {
            let (status, _) = demo.post(path, "id=p-001&field=price_cents&value=1");
            assert_eq!(status, 502, "{path}");
        }
        assert_eq!(demo.read("p-001")["source"], "hit");
        assert_eq!(list(demo)["source"], "hit");
        demo.post("/clear", "");
        let (status, answer) = demo.get("/list");
        assert_eq!(status, 502);
        assert_eq!(
            answer["error"],
            "the loader failed: the primary store is down"
        );
    });
}

#[test]
fn a_list_that_an_update_overtakes_is_not_cached() {
    let (_redis, demo) = start_with(&["--primary-latency-ms", "1500"]);
    thread::scope(|scope| {
        let overtaken = scope.spawn(|| list(&demo));
        demo.until_reads(1);
        update(&demo, "/update", "p-001", "price_cents", "699");
        let found = list(&demo);
        assert_eq!(found["products"][0]["price_cents"], "699");
        let overtaken = overtaken.join().unwrap();
        assert_eq!(overtaken["products"][0]["price_cents"], "650");
    });
    let found = list(&demo);
    assert_eq!(found["source"], "hit");
    assert_eq!(found["products"][0]["price_cents"], "699");
}

#[test]
fn the_counters_include_the_list_and_start_at_zero_with_the_others() {
    let (_redis, demo) = start();
    demo.read("p-001");
    for (hits, rate) in [(0, 0.0), (1, 33.3), (2, 50.0)] {
        let stats = &list(&demo)["stats"];
        assert_eq!(
            ["hits", "misses", "loads", "hit_rate_pct"].map(|name| &stats[name]),
            [&json!(hits), &json!(2), &json!(2), &json!(rate)]
        );
    }
    let reset = demo.post("/reset", "").1;
    assert_eq!((&reset["hits"], &reset["misses"]), (&json!(0), &json!(0)));
    list(&demo);
    let stats = &demo.post("/settings", "grace=on").1["stats"];
    assert_eq!(
        (&stats["hits"], &stats["primary_reads_total"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn without_redis_the_list_is_read_from_the_primary_and_an_update_names_its_tags() {
    let (mut redis, demo) = start();
    list(&demo);
    redis.kill();
    for path in ["/update", "/update_field"] {
        let (status, answer) = demo.post(path, "id=p-001&field=price_cents&value=699");
        assert_eq!((status, &answer["tags"]), (503, &json!(["products"])));
    }
    let found = list(&demo);
    assert_eq!(found["source"], "degraded");
    assert_eq!(found["products"][0]["price_cents"], "699");
    assert_eq!(demo.get("/stats").1["breaker_open"], 1);
}
