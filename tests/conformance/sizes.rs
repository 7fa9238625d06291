//! Ids and values of every shape and size: each works.

use std::convert::Infallible;

use crate::{
    environment::Environment,
    support::{load_loaf, loaf},
};
use cache_aside::{Cache, Record, Source, store::Entry};
use serde::{Deserialize, Serialize};

/// Through every call, and back.
fn works(environment: &Environment, cache: &Cache, id: &str) {
    let shown: String = id.chars().take(40).collect();
    let found = cache.get(id, load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded, "{shown:?}");
    assert!(cache.get(id, load_loaf).unwrap().is_hit(), "{shown:?}");
    // The key is the prefix and the id, nothing else.
    let entry = environment.store().read(&format!("test:{id}")).unwrap();
    assert!(matches!(entry, Entry::Record(_)), "{shown:?}");
    assert!(cache.update_field(id, "stock", "41").unwrap(), "{shown:?}");
    let write = cache.write(id, || Ok::<_, Infallible>(()));
    assert!(write.unwrap().invalidation_error().is_none(), "{shown:?}");
    cache.get(id, load_loaf).unwrap();
    assert!(cache.invalidate(id).unwrap(), "{shown:?}");
}

fn ids_of_every_shape_name_a_record(environment: &Environment) {
    let cache = environment.cache();
    let long = "x".repeat(64 << 10);
    let ids = [
        " ",
        "a\0b",
        "line\nbreak",
        "\r\n",
        "{tag}rest",
        "{",
        "}",
        "{}",
        "}{",
        "Brötchen 🥖",
        "\u{202e}backwards",
        "*3\r\n$3\r\nDEL\r\n",
        "$-1\r\n",
        "+OK\r\n",
        "lock:{test:p-001}",
        "*",
        &long,
    ];
    for id in ids {
        works(environment, &cache, id);
    }
    assert_eq!(cache.stats().store_errors, 0);
}

#[derive(Serialize, Deserialize)]
struct Blob {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

fn values_of_32_mib_pass(environment: &Environment) {
    let cache: Cache<Blob> = environment.patient_builder().build().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(32 << 20).collect();
    let load = |_: &str| {
        Ok::<_, Infallible>(Some(Blob {
            bytes: bytes.clone(),
        }))
    };
    cache.get("p-001", load).unwrap();
    let found = cache.get("p-001", load).unwrap();
    assert!(found.is_hit());
    assert!(found.record().unwrap().bytes == bytes);
    assert!(cache.update_field("p-001", "bytes", &bytes).unwrap());
    assert_eq!(cache.stats().store_errors, 0);
}

fn a_record_of_twenty_thousand_fields_passes(environment: &Environment) {
    let cache: Cache = environment.patient_builder().build().unwrap();
    let record: Record = (0..20_000)
        .map(|n| (format!("field {n}"), n.to_string()))
        .collect();
    let load = |_: &str| Ok::<_, Infallible>(Some(record.clone()));
    cache.get("p-001", load).unwrap();
    let found = cache.get("p-001", load).unwrap();
    assert!(found.is_hit());
    assert_eq!(found.record().unwrap().len(), 20_000);
    assert!(cache.update("p-001", |_| Some(loaf())).unwrap());
    assert_eq!(
        **cache.get("p-001", load).unwrap().record().unwrap(),
        loaf()
    );
}

on_both_stores! {
    ids_of_every_shape_name_a_record,
    values_of_32_mib_pass,
    a_record_of_twenty_thousand_fields_passes,
}
