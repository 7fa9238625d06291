//! Every call of a cache works on a cluster as it does on one server.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use cache_aside::{Cache, Error, Loaded, LoadingCache, Lookup, Record, Source, store::Keys};

use super::one_of_each;
use crate::support::{Server, alone, chain, load_loaf, loaf, until};
use crate::test_cluster::Cluster;

/// Enough ids for every master to have some.
fn ids() -> Vec<String> {
    (0..50).map(|id| format!("p-{id}")).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a loader may fail")]
fn load_all(ids: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    Ok(ids.iter().map(|id| ((*id).to_owned(), loaf())).collect())
}

fn whose(cluster: &Cluster, ids: &[String]) -> BTreeSet<usize> {
    let owner = |id: &String| cluster.owner_of(&format!("test:{id}"));
    ids.iter().filter_map(owner).collect()
}

#[test]
fn records_of_all_masters_are_read_filled_and_ended() {
    let cluster = Cluster::start(3, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    assert_eq!(whose(&cluster, &ids()).len(), 3);
    for id in &ids() {
        assert!(!cache.get(id, load_loaf).unwrap().is_hit());
        assert!(cache.get(id, load_loaf).unwrap().is_hit());
        assert!(cache.update_field(id, "stock", "41").unwrap());
        let sold = |record: &Record| {
            let mut sold = record.clone();
            sold.insert("stock", "40");
            Some(sold)
        };
        assert!(cache.update(id, sold).unwrap());
        let record = cache.get(id, load_loaf).unwrap().into_record().unwrap();
        assert_eq!(record.get("stock"), Some("40"));
        assert!(cache.ttl_remaining(id).unwrap().left().is_some());
        assert!(cache.invalidate(id).unwrap());
        assert!(!cache.invalidate(id).unwrap());
        let written = cache.write(id, || Ok::<_, Infallible>(())).unwrap();
        assert!(written.guard_error().is_none() && written.invalidation_error().is_none());
    }
    cluster.assert_every_key_expires();
}

#[test]
fn stale_records_of_all_masters_are_reloaded_on_threads_or_kept() {
    let cluster = Cluster::start(3, 0);
    let builder = cluster.builder().grace(Duration::from_secs(600));
    let cache: Cache = builder.max_loads(2).build().unwrap();
    let builder = LoadingCache::builder_with_cached(&cache, |context, cached: Option<&Record>| {
        let is_even = context.id().ends_with(['0', '2', '4', '6', '8']);
        Ok::<_, Infallible>(match cached {
            Some(_) if is_even => Loaded::unchanged(),
            _ => Loaded::new(loaf()),
        })
    });
    let products = builder
        .hard_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let all = products.preload(ids()).unwrap();
    assert_eq!((all.loaded, all.failed), (50, 0));
    for id in &ids() {
        assert!(cache.expire(id).unwrap());
        assert!(products.get(id).unwrap().is_stale());
    }
    for id in &ids() {
        until(|| products.get(id).unwrap().source() == Source::Hit);
    }
    let stats = cache.stats();
    assert_eq!((stats.background_loads, stats.refused_fills), (100, 0));
    cluster.assert_every_key_expires();
}

#[test]
fn many_records_are_read_and_ended_with_one_request_to_each_master() {
    let cluster = Cluster::start(3, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    let ids = ids();
    let first = cache.get_many(&ids, load_all).unwrap();
    assert_eq!(first.len(), ids.len());
    assert!(first.iter().all(|lookup| lookup.source() == Source::Loaded));
    let second = cache.get_many(&ids, load_all).unwrap();
    assert!(second.iter().all(Lookup::is_hit));
    let fields = cache.get_fields(&ids[0], &["no such"]).unwrap().unwrap();
    assert!(fields.record().unwrap().is_empty());
    let peeked = cache.peek_many(&ids).unwrap();
    let records = peeked.iter().map(|it| it.as_ref().unwrap().record());
    assert!(records.eq(second.iter().map(Lookup::record)));
    let grace = std::time::Duration::from_secs(600);
    let patient: Cache = cluster.builder().grace(grace).build().unwrap();
    assert_eq!(patient.expire_many(&ids).unwrap(), 50);
    let peeked = patient.peek_many(&ids).unwrap();
    assert!(peeked.iter().flatten().all(Lookup::is_stale));
    assert_eq!(cache.invalidate_many(&ids).unwrap(), 50);
    let third = cache.get_many(&ids, load_all).unwrap();
    assert!(third.iter().all(|lookup| lookup.source() == Source::Loaded));
    cluster.assert_every_key_expires();
}

#[test]
fn a_write_of_many_records_is_two_pipelines_to_each_master() {
    let cluster = Cluster::start(3, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    let ids = ids();
    assert_eq!(whose(&cluster, &ids).len(), 3);
    let write = || {
        let written = cache.write_many(&ids, || {
            let loaded = cache.get_many(&ids, load_all).unwrap();
            assert!(
                loaded
                    .iter()
                    .all(|lookup| lookup.source() == Source::Loaded)
            );
            Ok::<_, Infallible>(())
        });
        assert!(written.unwrap().deferred().is_empty());
    };
    // It opens the connections.
    write();
    // Each pipeline of these two steps loads its script first.
    let pipelines = || cluster.nodes.iter().map(|node| calls(node, "script|load"));
    let before: Vec<_> = pipelines().collect();
    let written = cache.write_many(&ids, || Ok::<_, Infallible>(()));
    assert!(written.unwrap().deferred().is_empty());
    let after = pipelines()
        .zip(before)
        .map(|(after, before)| after - before);
    assert_eq!(after.collect::<Vec<_>>(), [2, 2, 2]);
    cluster.assert_every_key_expires();
}

/// How often a node has executed this command.
fn calls(node: &Server, command: &str) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut node.connect())
        .unwrap();
    let statistics = format!("cmdstat_{command}:calls=");
    let count = info.split_once(&statistics).map_or("0", |(_, rest)| rest);
    count.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_cache_is_cleared_on_all_masters() {
    let cluster = Cluster::start(3, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get_many(ids(), load_all).unwrap();
    let mut shares = Vec::new();
    let removed = cache
        .clear_with_progress(|cleared| shares.push(cleared.fraction))
        .unwrap();
    assert_eq!(removed, 50);
    assert!(shares.is_sorted());
    assert!(
        shares
            .last()
            .is_some_and(|fraction| (fraction - 1.0).abs() < 1e-9)
    );
    for id in &ids() {
        assert!(!cache.get(id, load_loaf).unwrap().is_hit());
    }
}

#[test]
fn a_slot_is_computed_as_redis_does_and_a_lease_lies_in_that_of_its_record() {
    let cluster = Cluster::start(1, 0);
    for data in [
        "p",
        "cache:product:p-001",
        "a{b}c",
        "{a}b}",
        "{",
        "ü{é}",
        "{{a}}",
        "a{",
        "{}",
    ] {
        let keys = Keys::of(data.to_owned());
        if data == "{}" {
            assert_ne!(cluster.slot_of(&keys.lease), cluster.slot_of(data));
        } else {
            assert_eq!(
                cluster.slot_of(&keys.lease),
                cluster.slot_of(data),
                "{data}"
            );
        }
    }
}

#[test]
fn an_id_whose_lease_would_have_another_slot_is_refused() {
    let cluster = Cluster::start(1, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    for id in ["a}b", "{}", "}"] {
        let refused = cache.get(id, load_loaf).unwrap_err();
        assert!(matches!(refused, Error::InvalidId { .. }), "{refused}");
        assert!(matches!(cache.invalidate(id), Err(Error::InvalidId { .. })));
    }
    assert!(!cache.get("{a}b}", load_loaf).unwrap().is_hit());
    assert!(cache.get("{a}b}", load_loaf).unwrap().is_hit());
}

#[test]
fn the_connections_to_each_node_have_the_name_of_the_program() {
    let cluster = Cluster::start(2, 0);
    let redis = cluster.redis().client_name("shop");
    let cache = Cache::builder(redis).prefix("test:").near_cache(10);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    for id in one_of_each(&cluster, 2) {
        cache.get(&id, load_loaf).unwrap();
    }
    for node in &cluster.nodes {
        // A connection has no name before its first request.
        until(|| {
            let list: String = redis::cmd("CLIENT")
                .arg("LIST")
                .query(&mut node.connect())
                .unwrap();
            // The pool's, the listener's, and for a moment each second one that looks at the address.
            let own = list
                .lines()
                .filter(|line| !line.contains(" cmd=client|list "));
            let names: Vec<_> = own.map(|line| line.contains(" name=shop ")).collect();
            names.len() >= 2 && names.iter().all(|is_named| *is_named)
        });
    }
}

#[test]
fn a_server_that_is_no_cluster_is_refused() {
    let without = ["--rename-command", "CLUSTER", ""];
    for args in [&[][..], &without] {
        let single = [&alone::NONE[..], args].concat();
        let server = Server::start_on_port_with(&single);
        let url = server.admin_url().replace("redis://", "redis+cluster://");
        let refused = Cache::<Record>::builder(url)
            .prefix("test:")
            .build()
            .unwrap_err();
        let words = format!(
            "request `connect` to 127.0.0.1:{} failed: that server is none of a cluster; write `redis://host:6379`, \
             or, if it is a Sentinel, `redis+sentinel://host:26379/NAME`",
            server.port()
        );
        assert_eq!(chain(&refused), words);
    }
}
