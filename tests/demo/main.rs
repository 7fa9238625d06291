//! The demo server: every row of its table, what it refuses, and the program around it.

#[path = "../support/demo.rs"]
mod demo;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod command;
mod metrics;
mod refusals;

use demo::Demo;
use serde_json::Value;
use support::Server;

/// A demo on a Redis of its own, whose primary takes 20 ms.
fn start() -> (Server, Demo) {
    start_with(&["--primary-latency-ms", "20"])
}

fn start_with(args: &[&str]) -> (Server, Demo) {
    let redis = Server::start();
    let demo = Demo::start(&redis.url(), args);
    (redis, demo)
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}
