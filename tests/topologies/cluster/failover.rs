//! Masters that die, and replicas that take over.

use std::{
    convert::Infallible,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cache_aside::{Cache, Lookup, Record, Source};

use super::{DATA, ID, one_of_each};
use crate::support::{Server, chain, load_loaf, loaf, until, until_recovered};
use crate::test_cluster::{self as cluster, Cluster};

fn named(id: &str) -> Record {
    Record::from([("name", id)])
}

#[test]
fn while_a_master_is_down_the_others_records_are_hits_and_its_own_are_loaded() {
    let mut cluster = Cluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]);
    let cache: Cache = cluster.builder().build().unwrap();
    let ids = one_of_each(&cluster, 3);
    for id in &ids {
        cache.get(id, load_loaf).unwrap();
    }
    cluster.nodes[0].kill();
    let until_then = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until_then {
        let lookup = cache.get(&ids[0], load_loaf).unwrap();
        assert_eq!(lookup.source(), Source::Degraded);
        for id in &ids[1..] {
            assert!(cache.get(id, load_loaf).unwrap().is_hit(), "{id}");
        }
    }
    assert!(!cache.stats().breaker_open);
    let many = cache
        .get_many(&ids, |ids: &[&str]| {
            Ok::<_, Infallible>(
                ids.iter()
                    .map(|id| ((*id).to_owned(), loaf()))
                    .collect::<Vec<_>>(),
            )
        })
        .unwrap();
    let sources: Vec<_> = many.iter().map(cache_aside::Lookup::source).collect();
    assert_eq!(sources, [Source::Degraded, Source::Hit, Source::Hit]);
    assert!(cache.invalidate(&ids[0]).is_err());
    assert!(cache.invalidate(&ids[1]).unwrap());
    assert_eq!(cache.stats().invalidations_pending, 1);
    // Empty, and with its slots.
    cluster.nodes[0].start_again();
    until(|| cache.get(&ids[0], load_loaf).unwrap().is_hit());
    until_recovered(&cache);
}

#[test]
fn when_a_replica_has_taken_over_records_are_cached_again_and_no_lookup_fails() {
    let mut cluster = Cluster::start(3, 1);
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load_loaf).unwrap();
    let master = cluster.owner_of(DATA).unwrap();
    let start = Instant::now();
    cluster.nodes[master].kill();
    let (mut degraded, mut took_over) = (0, None);
    while cache.get(ID, load_loaf).unwrap().source() == Source::Degraded {
        degraded += 1;
        if took_over.is_none() && degraded % 50 == 0 {
            took_over = cluster.owner_of(DATA).map(|_| start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "cached again {:.2?} after the master's death (node timeout {:?}); seen by asking the nodes {took_over:.2?}; {degraded} lookups without Redis",
        start.elapsed(),
        cluster::NODE_TIMEOUT,
    );
    // The replica had the record.
    assert!(cache.get(ID, load_loaf).unwrap().is_hit());
    assert!(cache.invalidate(ID).unwrap());
}

#[test]
fn a_cluster_that_is_started_again_is_found_again() {
    let mut cluster = Cluster::start(3, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    let ids = one_of_each(&cluster, 3);
    for id in &ids {
        cache.get(id, load_loaf).unwrap();
    }
    for node in &mut cluster.nodes {
        node.kill();
    }
    for id in &ids {
        assert_eq!(cache.get(id, load_loaf).unwrap().source(), Source::Degraded);
        assert!(cache.invalidate(id).is_err());
    }
    for node in &mut cluster.nodes {
        node.start_again();
    }
    let start = Instant::now();
    until(|| {
        ids.iter()
            .all(|id| cache.get(id, load_loaf).unwrap().is_hit())
    });
    println!(
        "cached again {:.2?} after all nodes were started again",
        start.elapsed()
    );
    assert_eq!(cache.stats().invalidations_pending, 0);
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_process_that_slept_while_all_masters_were_replaced_finds_the_new_ones() {
    let mut cluster = Cluster::start(2, 1);
    let ids = one_of_each(&cluster, 2);
    let other: Cache = cluster.builder().build().unwrap();
    for id in &ids {
        other.get(id, load_loaf).unwrap();
    }
    // Redis does not list them before they have received something.
    Cluster::until("the replicas are named", || {
        let slots: redis::Value = cluster::ask(&cluster.nodes[0], &cluster::cluster("SLOTS"));
        let slots = format!("{slots:?}");
        let replicas = cluster.nodes[2..].iter();
        replicas
            .map(Server::port)
            .all(|port| slots.contains(&port.to_string()))
    });
    let first = crate::support::acl::url_at(cluster.nodes[0].port());
    let cache = Cache::builder(first.replacen("redis://", "redis+cluster://", 1));
    let cache: Cache = cache.prefix("test:").build().unwrap();
    for id in &ids {
        assert!(cache.get(id, load_loaf).unwrap().is_hit());
    }
    for (master, id) in ids.iter().enumerate() {
        let replica = &cluster.nodes[2 + master];
        cluster::ask::<()>(replica, &cluster::cluster("FAILOVER"));
        Cluster::until("the replica has taken over", || {
            cluster.owner_of(&format!("test:{id}")) == Some(2 + master)
        });
    }
    for master in &mut cluster.nodes[..2] {
        master.kill();
    }
    until(|| {
        ids.iter()
            .all(|id| cache.get(id, load_loaf).unwrap().is_hit())
    });
}

#[test]
fn while_a_master_is_silent_loads_of_the_others_records_keep_their_leases() {
    let cluster = Cluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]);
    let process = || -> Cache { cluster.builder().build().unwrap() };
    let (leader, other) = (process(), process());
    let ids = one_of_each(&cluster, 3);
    let loads = AtomicU32::new(0);
    let began = Barrier::new(ids.len() + 1);
    std::thread::scope(|scope| {
        for id in &ids {
            let (leader, loads, began) = (&leader, &loads, &began);
            scope.spawn(move || {
                let slow = |_: &str| {
                    loads.fetch_add(1, SeqCst);
                    began.wait();
                    // Longer than two leases.
                    std::thread::sleep(Duration::from_secs(5));
                    load_loaf(id)
                };
                leader.get(id, slow).unwrap();
            });
        }
        began.wait();
        cluster.nodes[0].freeze();
        // A lease that isn't renewed has lapsed by then.
        std::thread::sleep(Duration::from_secs(3));
        for id in &ids[1..] {
            let counted = |id: &str| {
                loads.fetch_add(1, SeqCst);
                load_loaf(id)
            };
            let source = other.get(id, counted).unwrap().source();
            // The second one was filled when the first one's wait ended.
            assert!(matches!(source, Source::Waited | Source::Hit), "{source:?}");
        }
    });
    assert_eq!(loads.load(SeqCst), 3);
    cluster.nodes[0].thaw();
}

/// The reads were sent to all masters by one thread, which reads one reply after another.
#[test]
fn a_batch_waits_for_all_silent_masters_together() {
    let timeout = Duration::from_secs(2);
    let cluster = Cluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]);
    let redis = cluster.redis().io_timeout(timeout);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let ids = one_of_each(&cluster, 3);
    let read = || {
        let load = |ids: &[&str]| {
            let rows = ids.iter().map(|id| ((*id).to_owned(), named(id)));
            Ok::<_, Infallible>(rows.collect::<Vec<_>>())
        };
        let found = cache.get_many(&ids, load).unwrap();
        for (id, lookup) in ids.iter().zip(&found) {
            assert_eq!(
                lookup.record().map(|record| (**record).clone()),
                Some(named(id))
            );
        }
        found.iter().map(Lookup::source).collect::<Vec<_>>()
    };
    read();
    assert_eq!(read(), [Source::Hit; 3]);
    for silent in &cluster.nodes[..2] {
        silent.freeze();
    }
    let began = Instant::now();
    assert_eq!(read(), [Source::Degraded, Source::Degraded, Source::Hit]);
    let elapsed = began.elapsed();
    assert!(
        elapsed >= timeout && elapsed < timeout * 7 / 4,
        "{elapsed:?}"
    );
    for silent in &cluster.nodes[..2] {
        silent.thaw();
    }
    // The late replies belong to nobody.
    until(|| read() == [Source::Hit; 3]);
}

/// A refusal is an answer, too.
#[test]
fn a_node_that_may_not_be_asked_for_its_state_is_found_again() {
    let cluster = Cluster::start_with(2, 0, &["--cluster-require-full-coverage", "no"]);
    let redis = cluster.redis().breaker_threshold(1);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let ids = one_of_each(&cluster, 2);
    for node in &cluster.nodes {
        node.set_user(&["-cluster|info"]);
    }
    let source = || cache.get(&ids[0], load_loaf).unwrap().source();
    assert_eq!((source(), source()), (Source::Loaded, Source::Hit));
    cluster.nodes[0].freeze();
    assert_eq!((source(), source()), (Source::Degraded, Source::Degraded));
    cluster.nodes[0].thaw();
    until(|| source() == Source::Hit);
}

/// As in an upgrade of the nodes, one after another.
#[test]
fn a_clear_during_which_a_replica_takes_over_fails_also_where_it_gives_back() {
    let cluster = Cluster::start(2, 1);
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load_loaf).unwrap();
    let data = format!("test:{}", one_of_each(&cluster, 2)[0]);
    let failover = |to: usize| {
        let node = &cluster.nodes[to];
        Cluster::until("it follows", || cluster::is_linked(node));
        // The masters vote for a replica of the same master only after two node timeouts.
        let mut take_over = cluster::cluster("FAILOVER");
        cluster::ask::<()>(node, take_over.arg("TAKEOVER"));
        Cluster::until("it has", || {
            let is_well = cluster.nodes.iter().all(cluster::is_in_order);
            is_well && cluster.owner_of(&data) == Some(to)
        });
    };
    let mut is_over = false;
    let refused = cache.clear_with_progress(|_| {
        if !std::mem::replace(&mut is_over, true) {
            failover(2);
            failover(0);
        }
    });
    let refused = chain(&refused.unwrap_err());
    assert!(refused.contains("the cluster were moved"), "{refused}");
}

#[test]
fn records_of_a_slot_that_nobody_has_are_loaded_and_all_others_are_hits() {
    let cluster = Cluster::start_with(2, 0, &["--cluster-require-full-coverage", "no"]);
    let cache: Cache = cluster.builder().build().unwrap();
    let slot = cluster.slot_of(DATA);
    let owner = cluster.owner_of(DATA).unwrap();
    let of_slot = |command: &str| {
        let mut order = cluster::cluster(command);
        order.arg(slot);
        order
    };
    for node in &cluster.nodes {
        cluster::ask::<()>(node, &of_slot("DELSLOTS"));
    }
    let ids = one_of_each(&cluster, 2);
    let source = |id: &str| cache.get(id, load_loaf).unwrap().source();
    for id in &ids {
        source(id);
    }
    for _ in 0..5 {
        // More than enough to open each breaker.
        for _ in 0..10 {
            assert_eq!(source(ID), Source::Degraded);
            assert!(cache.invalidate(ID).is_err());
        }
        for id in &ids {
            assert_eq!(source(id), Source::Hit);
        }
    }
    assert!(!cache.stats().breaker_open);
    cluster::ask::<()>(&cluster.nodes[owner], &of_slot("ADDSLOTS"));
    until(|| source(ID) == Source::Hit);
    assert_eq!(cache.stats().invalidations_pending, 0);
}
