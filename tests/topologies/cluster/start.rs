//! `build` where some nodes or settings are faulty.

use cache_aside::{Cache, Record, Source};

use super::one_of_each;
use crate::support::{chain, load_loaf};
use crate::test_cluster::Cluster;

#[test]
fn a_process_starts_while_a_master_is_down() {
    let mut cluster = Cluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]);
    let ids = one_of_each(&cluster, 3);
    cluster.nodes[0].kill();
    let cache: Cache = cluster.builder().build().unwrap();
    let source = |id: &str| cache.get(id, load_loaf).unwrap().source();
    assert_eq!(source(&ids[0]), Source::Degraded);
    for id in &ids[1..] {
        assert_eq!((source(id), source(id)), (Source::Loaded, Source::Hit));
    }
    for node in &mut cluster.nodes[1..] {
        node.kill();
    }
    let redis = cluster.redis().require_connection(true);
    let refused = chain(&redis.build().unwrap_err());
    assert!(refused.contains("Connection refused"), "{refused}");
}

/// For example, the addresses inside a container.
#[test]
fn where_nobody_is_at_the_addresses_that_nodes_announce_build_says_whose_they_are() {
    let nowhere = ["--cluster-announce-port", "1"];
    let cluster = Cluster::start_with(1, 0, &nowhere);
    let redis = cluster.redis().require_connection(true);
    let refused = chain(&redis.build().unwrap_err());
    assert!(refused.contains(" to 127.0.0.1:1 failed: "), "{refused}");
    assert!(refused.contains("`cluster-announce-port`"), "{refused}");
}

#[test]
fn a_wrong_password_is_reported_though_another_node_is_away() {
    let cluster = Cluster::start(1, 0);
    let port = cluster.nodes[0].port();
    let url = format!("redis+cluster://me:wrong@127.0.0.1:1,127.0.0.1:{port}");
    let refused = Cache::<Record>::builder(url).prefix("test:").build();
    let refused = chain(&refused.unwrap_err());
    assert!(refused.contains("WRONGPASS"), "{refused}");
}
