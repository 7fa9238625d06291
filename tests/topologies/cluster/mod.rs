//! The cache on a Redis Cluster: routing, redirections, slot migrations, failovers.

mod calls;
mod failover;
mod impossible;
mod moves;
mod near;
mod new_node;
mod replicas;
mod start;
mod tags;

use std::convert::Infallible;

use crate::support::loaf;
use crate::test_cluster::Cluster;
use cache_aside::Record;

/// A record of a cache with the prefix `test:`, and its key.
const ID: &str = "p-001";
const DATA: &str = "test:p-001";

fn version(number: u32) -> Record {
    let mut record = loaf();
    record.insert("version", number.to_string());
    record
}

/// A loader that finds this version.
fn load(number: u32) -> impl Fn(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

/// The keys of all masters, one each.
fn one_of_each(cluster: &Cluster, masters: usize) -> Vec<String> {
    let on = |master| {
        let mut ids = (0..).map(|number| format!("q-{number}"));
        ids.find(|id| cluster.owner_of(&format!("test:{id}")) == Some(master))
            .unwrap()
    };
    (0..masters).map(on).collect()
}
