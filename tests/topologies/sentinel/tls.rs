//! Sentinels and a server that only speak TLS.

use cache_aside::{Cache, Redis, Source};

use crate::{
    secure::{Authority, Secure},
    sentinel_set::{NAME, Sentinel, url_of},
    support::{chain, free_port, load_loaf, until},
};

#[test]
fn both_legs_are_tls() {
    let secure = Secure::start();
    let port = free_port();
    let _sentinel = Sentinel::start_as(&secure.config(port), port, secure.port, 1);
    let url = url_of([port].into_iter(), NAME).replace("redis+", "rediss+");
    let redis = || Redis::builder(&*url).tls_root_certificate(secure.authority.pem());
    until(|| redis().require_connection(true).build().is_ok());
    let cache = Cache::builder(redis()).prefix("test:").near_cache(10);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.get("p", load_loaf).unwrap().source() == Source::Near);
    assert!(cache.invalidate("p").unwrap());

    let strange = redis().tls_root_certificate(Authority::new().pem());
    let error = chain(&strange.build().unwrap_err());
    assert!(
        error.contains(&format!("127.0.0.1:{port}: ")) && error.contains("`tls_root_certificate`"),
        "{error}"
    );
}
