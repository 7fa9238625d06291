//! The switches of the demo: near cache, early refresh, grace, and a primary that fails.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{keys, on_both, start, start_with};
use crate::demo_server::Demo;

fn switch(demo: &Demo, form: &str) -> Value {
    let (status, answer) = demo.post("/settings", form);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Waits until the near cache is in use.
fn until_tracking(demo: &Demo) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while demo.get("/stats").1["tracking_live"] != 1 {
        assert!(Instant::now() < deadline, "it does not listen");
        // The only way to learn the state of another process is to ask it.
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn all_is_off_at_first_and_a_switch_leaves_the_others_as_they_are() {
    on_both(|demo| {
        let (status, settings) = demo.get("/settings");
        assert_eq!(status, 200);
        assert_eq!(
            keys(&settings),
            [
                "near_cache",
                "early_refresh",
                "grace",
                "background",
                "hard_timeout",
                "audit",
                "primary_fails",
                "near_capacity",
                "near_staleness_s",
                "beta",
                "grace_s",
                "hard_timeout_ms"
            ]
        );
        let names = [
            "near_cache",
            "early_refresh",
            "grace",
            "background",
            "hard_timeout",
            "audit",
            "primary_fails",
        ];
        for name in names {
            assert_eq!(settings[name], false, "{name}");
        }
        for (place, name) in names.iter().enumerate() {
            let answer = switch(demo, &format!("{name}=on"));
            for (other, name) in names.iter().enumerate() {
                assert_eq!(answer[name], other <= place, "{name}");
            }
        }
        let answer = switch(demo, "near_cache=off&primary_fails=off");
        let settings = demo.get("/settings").1;
        for (name, on) in names
            .iter()
            .zip([false, true, true, true, true, true, false])
        {
            assert_eq!((&answer[name], &settings[name]), (&json!(on), &json!(on)));
        }
    });
}

#[test]
fn another_cache_counts_anew_on_the_same_records() {
    on_both(|demo| {
        demo.read("p-001");
        let answer = switch(demo, "early_refresh=on");
        assert_eq!(answer["another_cache"], true);
        assert_eq!(answer["stats"]["misses"], 0);
        assert_eq!(answer["stats"]["primary_reads_total"], 0);
        let found = demo.read("p-001");
        assert_eq!(found["source"], "hit");
        assert_eq!(found["stats"]["hits"], 1);
        // A switch to the same state changes nothing, and a failing primary is not a setting of the
        // cache.
        for form in ["early_refresh=on", "primary_fails=on"] {
            let answer = switch(demo, form);
            assert_eq!(answer["another_cache"], false, "{form}");
            assert_eq!(answer["stats"]["hits"], 1, "{form}");
        }
    });
}

#[test]
fn a_near_hit_is_counted_and_a_write_ends_it() {
    on_both(|demo| {
        switch(demo, "near_cache=on");
        until_tracking(demo);
        let sources = [(); 4].map(|()| demo.read("p-001")["source"].clone());
        assert_eq!(sources, ["loaded", "hit", "near", "near"]);
        let near = demo.read("p-001");
        assert_eq!(near["hit"], true);
        assert_eq!(near["redis_latency_ms"], 0.0);
        assert_eq!(near["ttl_remaining"], Value::Null);
        assert_eq!(near["stats"]["near_hits"], 3);
        let all = demo.get("/read_many?ids=p-001").1;
        assert_eq!(
            (&all["round_trips"], &all["primary_reads"]),
            (&json!(0), &json!(0))
        );
        demo.post("/update", "id=p-001&field=stock&value=1");
        let found = demo.read("p-001");
        assert_eq!(
            (&found["source"], &found["record"]["stock"]),
            (&json!("loaded"), &json!("1"))
        );
    });
}

#[test]
fn a_primary_that_fails_is_an_error_to_reads_and_writes() {
    on_both(|demo| {
        demo.read("p-002");
        switch(demo, "primary_fails=on");
        let (status, answer) = demo.get("/read?id=p-001");
        assert_eq!(status, 502);
        assert_eq!(
            answer,
            json!({ "error": "the loader failed: the primary store is down" })
        );
        assert_eq!(demo.read("p-002")["source"], "hit");
        for path in ["/update", "/update_field"] {
            let (status, answer) = demo.post(path, "id=p-002&field=stock&value=1");
            assert_eq!(status, 502, "{path}");
            assert_eq!(answer, json!({ "error": "the primary store is down" }));
        }
        assert_eq!(demo.post("/stampede", "id=p-001").0, 502);
        switch(demo, "primary_fails=off");
        assert_eq!(demo.read("p-001")["record"]["stock"], "42");
        assert_eq!(demo.read("p-002")["record"]["stock"], "120");
    });
}

#[test]
fn with_grace_an_expired_record_is_served_while_the_primary_fails_and_says_why() {
    on_both(|demo| {
        switch(demo, "grace=on");
        demo.read("p-001");
        let (status, answer) = demo.post("/expire", "id=p-001");
        assert_eq!(status, 200);
        assert_eq!(keys(&answer), ["id", "expired", "stats"]);
        assert_eq!(answer["expired"], true);
        switch(demo, "primary_fails=on");
        let stale = demo.read("p-001");
        assert_eq!(stale["source"], "stale");
        assert_eq!(stale["why"], "the loader failed: the primary store is down");
        assert_eq!(stale["hit"], true);
        assert_eq!(stale["record"]["stock"], "42");
        assert_eq!(stale["stats"]["stale_hits"], 1);
        assert_eq!(stale["stats"]["refresh_errors"], 1);
        demo.post("/invalidate", "id=p-001");
        assert_eq!(demo.get("/read?id=p-001").0, 502);
    });
}

#[test]
fn with_grace_an_expired_record_is_loaded_anew() {
    on_both(|demo| {
        switch(demo, "grace=on");
        demo.read("p-001");
        demo.post("/expire", "id=p-001");
        let found = demo.read("p-001");
        assert_eq!(
            (&found["source"], &found["hit"]),
            (&json!("refreshed"), &json!(false))
        );
        assert_eq!(found["stats"]["refreshes"], 1);
        assert_eq!(demo.read("p-001")["source"], "hit");
        let nothing = demo.post("/expire", "id=p-404").1;
        assert_eq!(nothing["expired"], false);
    });
}

#[test]
fn without_grace_to_expire_is_to_invalidate() {
    on_both(|demo| {
        demo.read("p-001");
        assert_eq!(demo.post("/expire", "id=p-001").1["expired"], true);
        assert_eq!(demo.read("p-001")["source"], "loaded");
    });
}

/// The remaining TTL would make a record that was written without grace look stale.
#[test]
fn a_switch_of_grace_ends_what_was_written_without_it() {
    on_both(|demo| {
        for state in ["on", "off"] {
            demo.read("p-001");
            switch(demo, &format!("grace={state}"));
            assert_eq!(demo.read("p-001")["source"], "loaded", "{state}");
            assert_eq!(demo.read("p-001")["source"], "hit", "{state}");
        }
    });
}

#[test]
fn early_refresh_loads_a_record_anew_before_it_expires() {
    let (_redis, demo) = start_with(&["--primary-latency-ms", "200", "--ttl", "2"]);
    switch(&demo, "early_refresh=on");
    let deadline = Instant::now() + Duration::from_secs(20);
    assert_eq!(demo.read("p-001")["source"], "loaded");
    loop {
        let found = demo.read("p-001");
        if found["source"] == "refreshed" {
            assert_eq!(found["stats"]["refreshes"], 1);
            break;
        }
        assert!(Instant::now() < deadline, "{found}");
        // This test is about a TTL.
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_store_that_is_away_does_not_hold_up_a_switch() {
    let (mut redis, demo) = start();
    demo.read("p-001");
    redis.kill();
    let began = Instant::now();
    assert_eq!(switch(&demo, "grace=on&near_cache=on")["grace"], true);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(demo.read("p-001")["source"], "degraded");
}

#[test]
fn with_background_refresh_no_read_waits_for_a_stale_record() {
    on_both(|demo| {
        switch(demo, "grace=on&background=on");
        assert_eq!(demo.read("p-001")["source"], "loaded");
        demo.post("/expire", "id=p-001");
        assert_eq!(demo.read("p-001")["source"], "stale");
        let deadline = Instant::now() + Duration::from_secs(20);
        while demo.read("p-001")["source"] != "hit" {
            assert!(Instant::now() < deadline, "it is not reloaded");
            thread::sleep(Duration::from_millis(5));
        }
        let stats = demo.get("/stats").1;
        assert_eq!(
            (&stats["background_loads"], &stats["refreshes"]),
            (&json!(1), &json!(0))
        );
    });
}

#[test]
fn with_a_hard_timeout_a_slow_load_is_an_error_and_fills_the_cache() {
    on_both(|demo| {
        switch(demo, "hard_timeout=on");
        let (status, answer) = demo.get("/read?id=p-001");
        assert_eq!(status, 504, "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(
            error.starts_with("the load had not ended after "),
            "{error}"
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        while demo.get("/read?id=p-001").0 != 200 {
            assert!(Instant::now() < deadline, "it is not filled");
            thread::sleep(Duration::from_millis(5));
        }
        let counts = demo.get("/stats").1;
        assert_eq!(counts["primary_reads_total"], 1);
    });
}
