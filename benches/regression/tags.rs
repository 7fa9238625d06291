//! Hits under tags, compared with a plain hit, and the invalidation of a tag with many records,
//! compared with one that has few.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Loaded, Source};

use crate::{
    support::{Server, load_loaf, loaf},
    times::{in_turn, timed},
};

/// Records under a small tag, and under a large one.
const FEW: usize = 10;
const MANY: usize = 10_000;

/// How many tags of each size. Each is invalidated once: after that, no cached record is under it.
const TAGS: usize = 9;

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let builder = || server.builder().ttl(Duration::from_secs(60 * 60));
    let cache: Cache = builder().build().unwrap();
    let of_loader: Cache = builder()
        .prefix("test:l")
        .loader_tags(true)
        .build()
        .unwrap();
    let load_tagged = |_: &str| Ok::<_, Infallible>(Loaded::new(loaf()).tags(["bread"]));
    let many = if in_earnest { MANY } else { FEW };
    for nth in 0..TAGS {
        for (size, records) in [("large", many), ("small", FEW)] {
            let load = |missing: &[&str]| {
                let found = missing.iter().map(|id| ((*id).to_owned(), loaf()));
                Ok::<_, Infallible>(found.collect::<Vec<_>>())
            };
            let tag = tag(size, nth);
            let ids = (0..records).map(|id| format!("{tag}-{id}"));
            let tags = [&*tag];
            cache.options().tags(&tags).get_many(ids, load).unwrap();
        }
    }
    let get = |cache: &Cache, id: &str, tags: &[&str]| {
        let found = cache.options().tags(tags).get(id, load_loaf).unwrap();
        assert_eq!(found.source(), Source::Hit);
    };
    let get_listed = || {
        let found = of_loader.options().get("listed", load_tagged).unwrap();
        found.source()
    };
    cache.get("plain", load_loaf).unwrap();
    let tags = ["bread"];
    cache
        .options()
        .tags(&tags)
        .get("tagged", load_loaf)
        .unwrap();
    assert_eq!(get_listed(), Source::Loaded);
    let [plain, tagged, listed] = in_turn(
        if in_earnest { 4_000 } else { 2 },
        |_| {},
        [
            Box::new(|| timed(|| get(&cache, "plain", &[]))),
            Box::new(|| timed(|| get(&cache, "tagged", &tags))),
            Box::new(|| timed(|| assert_eq!(get_listed(), Source::Hit))),
        ],
    );
    let end = |size, nth| timed(|| cache.invalidate_tag(tag(size, nth)).unwrap());
    let (mut larges, mut smalls) = (0.., 0..);
    let [large, small] = in_turn(
        TAGS,
        |_| {},
        [
            Box::new(|| end("large", larges.next().unwrap())),
            Box::new(|| end("small", smalls.next().unwrap())),
        ],
    );
    vec![tagged / plain, listed / plain, large / small]
}

fn tag(size: &str, nth: usize) -> String {
    format!("{size}-{nth}")
}
