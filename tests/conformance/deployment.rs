//! Two versions of a program on one prefix, as during a rolling deployment.

use std::convert::Infallible;

use cache_aside::{Cache, Source};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// The record type of the first version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InCents {
    name: String,
    price: u32,
}

/// The price is in another unit, and has another name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InEuros {
    name: String,
    price_euros: f64,
}

/// The same, with an optional new field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Perhaps {
    name: String,
    price_euros: Option<f64>,
}

fn in_cents(price: u32) -> InCents {
    let name = "Rye Loaf".to_owned();
    InCents { name, price }
}

fn in_euros(price_euros: f64) -> InEuros {
    let name = "Rye Loaf".to_owned();
    InEuros { name, price_euros }
}

/// A lookup, with what the primary holds now.
fn get<R: Clone + Send + Sync + 'static>(cache: &Cache<R>, primary: R) -> (R, Source) {
    let load = |_: &str| Ok::<_, Infallible>(Some(primary));
    let found = cache.get("p-001", load).unwrap();
    (found.record().unwrap().as_ref().clone(), found.source())
}

fn an_entry_of_the_other_version_is_a_miss_and_each_ends_what_the_other_filled(
    environment: &Environment,
) {
    let old: Cache<InCents> = environment.builder().build().unwrap();
    let new: Cache<InEuros> = environment.builder().build().unwrap();
    assert_eq!(get(&old, in_cents(650)).1, Source::Loaded);
    assert_eq!(get(&old, in_cents(650)).1, Source::Hit);

    assert_eq!(get(&new, in_euros(6.5)), (in_euros(6.5), Source::Loaded));
    assert_eq!(new.stats().unreadable_entries, 1);
    assert_eq!(get(&new, in_euros(6.5)).1, Source::Hit);

    // The old program writes.
    assert!(old.invalidate("p-001").unwrap());
    assert_eq!(get(&new, in_euros(7.0)), (in_euros(7.0), Source::Loaded));
    // The new program writes too.
    assert_eq!(get(&old, in_cents(700)), (in_cents(700), Source::Loaded));
    assert!(new.invalidate("p-001").unwrap());
    assert_eq!(get(&old, in_cents(750)), (in_cents(750), Source::Loaded));
}

/// This is why a field with a new name must not be optional.
fn an_entry_without_an_optional_field_decodes(environment: &Environment) {
    let old: Cache<InCents> = environment.builder().build().unwrap();
    let new: Cache<Perhaps> = environment.builder().build().unwrap();
    get(&old, in_cents(650));
    let perhaps = |price_euros| Perhaps {
        name: "Rye Loaf".to_owned(),
        price_euros,
    };
    assert_eq!(get(&new, perhaps(Some(6.5))), (perhaps(None), Source::Hit));
}

/// This is why a version does not belong into the prefix. With a `schema`, the same steps end the
/// record of the new program.
fn with_a_version_in_the_prefix_a_record_from_before_an_invalidation_is_read(
    environment: &Environment,
) {
    let builder = |prefix: &str| environment.builder().prefix(format!("test:{prefix}"));
    let by_prefix: [Cache<InCents>; 2] =
        ["v1:", "v2:"].map(|version| builder(version).build().unwrap());
    let by_schema: [Cache<InCents>; 2] =
        [1, 2].map(|version| builder("product:").schema(version).build().unwrap());
    for (programs, is_stale) in [(by_prefix, true), (by_schema, false)] {
        let [old, new] = programs;
        assert_eq!(get(&new, in_cents(650)).1, Source::Loaded);
        // The old program changes the price.
        old.invalidate("p-001").unwrap();
        let (found, source) = get(&new, in_cents(700));
        assert_eq!(found == in_cents(650), is_stale);
        assert_eq!(source == Source::Hit, is_stale);
    }
}

on_both_stores! {
    an_entry_of_the_other_version_is_a_miss_and_each_ends_what_the_other_filled,
    an_entry_without_an_optional_field_decodes,
    with_a_version_in_the_prefix_a_record_from_before_an_invalidation_is_read,
}
