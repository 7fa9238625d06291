//! TLS connections, to a real server with a certificate made by the test.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::secure::{Authority, Secure};
use crate::support::{Server, acl, chain, load_loaf, until};
use cache_aside::{
    Cache, Error, Lookup, Record, Redis, RedisBuilder, Source,
    store::{Keys, Token},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn record(value: &str) -> Record {
    Record::from([("value", value)])
}

fn value(found: &Lookup<Record>) -> &str {
    found.record().unwrap().get("value").unwrap()
}

fn refusal(builder: RedisBuilder) -> String {
    chain(&builder.build().unwrap_err())
}

/// The error of `build` for a server that cannot be used.
fn failure(builder: RedisBuilder) -> String {
    let error = builder.build().unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    chain(&error)
}

/// The same for a server that refuses a certificate, or whose certificate is refused. A handshake
/// that takes a busy machine long would count as a server that is away.
fn no_trust(builder: RedisBuilder) -> String {
    failure(builder.connect_timeout(MS(10_000)))
}

#[test]
fn every_call_works() {
    let secure = Secure::start();
    let cache = secure.cache();
    assert_eq!(cache.get("p", load_loaf).unwrap().source(), Source::Loaded);
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    assert!(cache.update_field("p", "stock", "1").unwrap());
    assert!(cache.update("p", |record| Some(record.clone())).unwrap());
    assert!(cache.invalidate("p").unwrap());
    let _ = cache.write("p", || Ok::<_, Infallible>(())).unwrap();
    let ids: Vec<_> = (0..3_000).map(|number| number.to_string()).collect();
    let load = |missing: &[&str]| {
        let found = missing.iter().map(|id| ((*id).to_owned(), record(id)));
        Ok::<_, Infallible>(found.collect::<HashMap<_, _>>())
    };
    assert_eq!(cache.get_many(&ids, load).unwrap().len(), ids.len());
    let again = cache.get_many(&ids, load).unwrap();
    assert!(again.iter().all(cache_aside::Lookup::is_hit));
    assert_eq!(cache.invalidate_many(&ids).unwrap(), 3_000);
    cache.clear().unwrap();
    secure.server.assert_every_key_expires();
}

/// Its nodes announce their TLS ports to clients that ask through TLS.
#[cfg(feature = "cluster")]
#[test]
fn a_cluster_is_spoken_to_by_tls() {
    let as_node = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let secure = Secure::start_with(&[&["--tls-auth-clients", "no"][..], &as_node].concat());
    let mut all_slots = redis::cmd("CLUSTER");
    all_slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    all_slots.exec(&mut secure.server.connect()).unwrap();
    let url = secure.url_of("localhost");
    let url = url.replace("rediss://", "rediss+cluster://");
    let redis = || {
        Redis::builder(&*url)
            .tls_root_certificate(secure.authority.pem())
            .connect_timeout(Duration::from_secs(2))
    };
    let cache = Cache::builder(redis()).prefix("test:").near_cache(10);
    let cache: Cache = cache.build().unwrap();
    // It takes a while until it reports a working cluster.
    until(|| cache.get("p", load_loaf).unwrap().source() == Source::Near);
    assert!(cache.invalidate("p").unwrap());
    assert_eq!(cache.get("p", load_loaf).unwrap().source(), Source::Loaded);

    let strange = redis().tls_root_certificate(Authority::new().pem());
    let failure = failure(strange);
    assert!(failure.contains("`tls_root_certificate`"), "{failure}");
}

/// Nodes announce IP addresses by default, for which certificates are rarely made.
#[cfg(feature = "cluster")]
#[test]
fn nodes_of_a_cluster_are_spoken_to_by_the_names_that_they_announce() {
    let announced = |kind| {
        let as_node = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
        let names = [
            ["--cluster-announce-ip", "127.0.0.1"],
            ["--cluster-announce-hostname", "localhost"],
            ["--cluster-preferred-endpoint-type", kind],
        ];
        let args = [
            &["--tls-auth-clients", "no"],
            names.as_flattened(),
            &as_node,
        ]
        .concat();
        let secure = Secure::start_as(&["localhost"], &args);
        let mut all_slots = redis::cmd("CLUSTER");
        all_slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        all_slots.exec(&mut secure.server.connect()).unwrap();
        let url = secure
            .url_of("localhost")
            .replace("rediss://", "rediss+cluster://");
        let redis = Redis::builder(url).tls_root_certificate(secure.authority.pem());
        (redis.connect_timeout(Duration::from_secs(2)), secure)
    };
    let (redis, _secure) = announced("hostname");
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| cache.get("p", load_loaf).unwrap().is_hit());

    let (redis, secure) = announced("ip");
    let failure = failure(redis);
    let address = format!("127.0.0.1:{}", secure.port);
    assert!(failure.contains(&address), "{failure}");
    assert!(failure.contains("`cluster-announce-hostname`"), "{failure}");
}

/// As `openssl req -x509` makes them.
#[test]
fn a_certificate_for_signing_others_is_not_taken_for_a_servers() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (own, key) = (file("own", &certificate), file("key", &key.serialize_pem()));
    let own = [["--tls-cert-file", &*own], ["--tls-key-file", &*key]];
    let secure = Secure::start_with(&[&["--tls-auth-clients", "no"], own.as_flattened()].concat());
    let failure = failure(secure.redis().tls_root_certificate(certificate));
    assert!(
        failure.contains("is a CA certificate (`CA:TRUE`)"),
        "{failure}"
    );
}

#[test]
fn records_of_many_megabytes_go_both_ways_whole() {
    let secure = Secure::start();
    let cache = secure.cache();
    let large: String = ('a'..='w').cycle().take(16 << 20).collect();
    for _ in 0..3 {
        let load = |_: &str| Ok::<_, Infallible>(Some(record(&large)));
        cache.get("p", load).unwrap();
        let found = cache.peek("p").unwrap();
        assert!(value(&found.unwrap()) == large, "not the record");
        assert!(cache.update_field("p", "value", &large[1..]).unwrap());
        assert!(cache.invalidate("p").unwrap());
    }
    let stats = cache.stats();
    assert_eq!((stats.store_errors, stats.degraded), (0, 0));
}

#[test]
fn what_changes_is_pushed() {
    let secure = Secure::start();
    let redis = secure.redis().build().unwrap();
    let near = Cache::builder(&redis).prefix("test:").near_cache(100);
    let near: Cache = near.build().unwrap();
    let other = secure.cache();
    until(|| near.stats().tracking_live);
    for round in 0..50 {
        let value = round.to_string();
        let load = |_: &str| Ok::<_, Infallible>(Some(record(&value)));
        until(|| near.get("p", load).unwrap().source() == Source::Near);
        assert_eq!(self::value(&near.get("p", load).unwrap()), value);
        // Now and then, longer than a listener waits for data.
        if round % 10 == 0 {
            thread::sleep(MS(600));
        }
        other.invalidate("p").unwrap();
        until(|| {
            near.get("p", |_| Ok::<_, Infallible>(None))
                .unwrap()
                .source()
                != Source::Near
        });
        other.invalidate("p").unwrap();
    }
    assert!(near.stats().tracking_live);
}

#[test]
fn many_threads_share_few_connections() {
    let secure = Secure::start();
    let redis = secure.redis().pool_size(2).build().unwrap();
    let cache: Cache = Cache::builder(&redis).prefix("test:").build().unwrap();
    thread::scope(|scope| {
        for thread in 0..16 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..200 {
                    let id = ((thread + round) % 10).to_string();
                    let load = |_: &str| Ok::<_, Infallible>(Some(record(&id)));
                    let found = cache.get(&id, load).unwrap();
                    assert_eq!(value(&found), id);
                    if round % 7 == 0 {
                        cache.invalidate(&id).unwrap();
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.store_errors, stats.degraded), (0, 0));
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let mut secure = Secure::start();
    let cache = secure.cache();
    cache.get("p", load_loaf).unwrap();
    secure.server.kill();
    assert_eq!(
        cache.get("p", load_loaf).unwrap().source(),
        Source::Degraded
    );
    secure.server.start_again();
    until(|| cache.get("p", load_loaf).unwrap().is_hit());
}

#[test]
fn a_server_that_falls_silent_is_waited_for_no_longer_than_without_tls() {
    let secure = Secure::start();
    let redis = secure.redis().io_timeout(MS(200)).checkout_timeout(MS(200));
    let redis = redis.build().unwrap();
    let cache: Cache = Cache::builder(&redis).prefix("test:").build().unwrap();
    cache.get("p", load_loaf).unwrap();
    secure.server.freeze();
    for id in ["p", "other"] {
        let began = Instant::now();
        let source = cache.get(id, load_loaf).unwrap().source();
        let elapsed = began.elapsed();
        assert_eq!(source, Source::Degraded);
        assert!(elapsed < MS(400 + 150), "{elapsed:?}");
    }
    secure.server.thaw();
}

/// A large write is sent in pieces. rustls reports a timeout at the next piece.
#[test]
fn a_large_write_to_a_server_that_falls_silent_takes_a_few_timeouts() {
    let secure = Secure::start();
    let redis = secure.redis().io_timeout(MS(300)).build().unwrap();
    let store = redis.store();
    store.ping().unwrap();
    let large = vec![(b"value".to_vec(), vec![b'x'; 8 << 20])];
    secure.server.freeze();
    let began = Instant::now();
    let keys = Keys::of("test:p".to_owned());
    let filled = store.fill(&keys, Token::random(), MS(1_000), &large);
    let elapsed = began.elapsed();
    assert!(filled.is_err());
    assert!(
        elapsed >= MS(300) && elapsed < 5 * MS(300) + MS(500),
        "{elapsed:?}"
    );
    secure.server.thaw();
}

#[test]
fn servers_that_want_a_certificate_get_it() {
    let secure = Secure::start_with(&["--tls-auth-clients", "yes"]);
    let own = secure.authority.sign(&["client"]);
    let redis = secure
        .redis()
        .tls_client_certificate(own.certificate, own.key);
    let cache = Cache::builder(redis.build().unwrap()).prefix("test:");
    let cache: Cache = cache.near_cache(10).build().unwrap();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    until(|| cache.stats().tracking_live);

    let without = no_trust(secure.redis());
    assert!(without.contains("`tls_client_certificate`"), "{without}");
    let strange = Authority::new().sign(&["client"]);
    let strange = no_trust(
        secure
            .redis()
            .tls_client_certificate(strange.certificate, strange.key),
    );
    assert!(strange.contains("`tls_client_certificate`"), "{strange}");
}

#[test]
fn who_is_not_trusted_is_refused_at_once_and_in_plain_words() {
    let secure = Secure::start();
    let began = Instant::now();
    let unknown = no_trust(Redis::builder(secure.url_of("localhost")));
    assert!(
        unknown.contains("localhost:") && unknown.contains("`tls_root_certificate`"),
        "{unknown}"
    );
    let other = secure.redis().tls_root_certificate(Authority::new().pem());
    let other = no_trust(other);
    assert!(
        other.contains("signed by an issuer that is not trusted here"),
        "{other}"
    );
    let root = secure.authority.pem();
    let by_number = Redis::builder(secure.url_of("127.0.0.1"));
    let by_number = by_number.tls_root_certificate(root.clone());
    by_number.build().unwrap();
    // One of several is enough.
    let both = Authority::new().pem() + &root;
    secure.redis().tls_root_certificate(both).build().unwrap();
    assert!(began.elapsed() < MS(5_000));
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let secure = Secure::start_as(&["elsewhere.example"], &["--tls-auth-clients", "no"]);
    let error = no_trust(secure.redis());
    assert!(
        error.contains("is for another host") && error.contains("elsewhere.example"),
        "{error}"
    );
}

#[test]
fn one_side_without_tls_is_reported() {
    let secure = Secure::start();
    let plain = failure(Redis::builder(acl::url_at(secure.port)).require_connection(true));
    println!("{plain}");
    assert!(plain.contains("rediss://"), "{plain}");

    let server = Server::start_on_port();
    let url = server.url().replace("redis://", "rediss://");
    let began = Instant::now();
    let secure = failure(Redis::builder(url).require_connection(true));
    println!("{secure}");
    assert!(secure.contains("TLS"), "{secure}");
    assert!(began.elapsed() < MS(1_500));
}

#[test]
fn a_peer_that_does_not_shake_hands_is_given_up_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let mut connections: Vec<TcpStream> = Vec::new();
        for connection in silent.incoming().take(1) {
            connections.push(connection.unwrap());
        }
        // Until they are closed.
        for mut connection in connections {
            let _ = connection.read_to_end(&mut Vec::new());
        }
    });
    let url = format!("rediss://localhost:{port}");
    let timeout = MS(1_000);
    let began = Instant::now();
    let error = failure(
        Redis::builder(url)
            .require_connection(true)
            .connect_timeout(timeout)
            .io_timeout(MS(10_000)),
    );
    let elapsed = began.elapsed();
    assert!(error.contains("no answer within 1s"), "{error}");
    // Once, and not once for each step of the handshake.
    assert!(elapsed >= timeout && elapsed < 2 * timeout, "{elapsed:?}");
    peer.join().unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_by_the_name_of_the_setting() {
    let authority = Authority::new();
    let (one, two) = (authority.sign(&["one"]), authority.sign(&["two"]));
    let secure = || Redis::builder("rediss://localhost:1");
    let root = |pem: &str| refusal(secure().tls_root_certificate(pem));
    let client = |pem: &str, key: &str| refusal(secure().tls_client_certificate(pem, key));
    let torn = one.certificate.replace("MII", "");
    for (setting, message) in [
        ("tls_root_certificate", root("")),
        ("tls_root_certificate", root("no PEM")),
        ("tls_root_certificate", root(&one.key)),
        ("tls_root_certificate", root(&torn)),
        ("tls_client_certificate", client("", &one.key)),
        ("tls_client_certificate", client(&one.certificate, "")),
        ("tls_client_certificate", client(&one.certificate, &two.key)),
        ("tls_client_certificate", client(&one.key, &one.certificate)),
        (
            "tls_root_certificate",
            refusal(Redis::builder("redis://localhost:1").tls_root_certificate(authority.pem())),
        ),
        (
            "tls_client_certificate",
            refusal(
                Redis::builder("unix:///nowhere")
                    .tls_client_certificate(one.certificate.clone(), one.key.clone()),
            ),
        ),
        (
            "address",
            refusal(Redis::builder("rediss://localhost:1#insecure")),
        ),
    ] {
        println!("{message}");
        assert!(
            message.starts_with(&format!("setting `{setting}`: ")),
            "{message}"
        );
    }
}
