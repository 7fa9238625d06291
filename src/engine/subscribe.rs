//! Subscribes a cache to the changes in its store, for its near cache and for lookups that wait.
//!
//! Called once, when a cache is built.

use std::sync::Arc;

use super::Settings;
use crate::{
    backend::client::StoreClient,
    error::Error,
    near::{Near, subscriber::ChangeSubscriber},
    store::{ChangeListener, Subscription},
    util::limits::refuse,
};

/// The subscriber that receives the changes, and the subscription that keeps it registered.
type Subscribed = (Arc<ChangeSubscriber>, Subscription);

/// Subscribes to the changes in the store, if a setting needs them.
pub(super) fn subscribe(
    settings: &Settings,
    client: &StoreClient,
) -> Result<Option<Subscribed>, Error> {
    let Settings {
        prefix,
        ttl,
        near_cache,
        near_ttl,
        near_staleness,
        tracking,
        ..
    } = settings;
    if near_cache.is_none() && !tracking {
        return Ok(None);
    }
    let near = near_cache.map(|capacity| Near::new(capacity, near_ttl.unwrap_or(*ttl)));
    let keeps_near = near.is_some();
    let subscriber = Arc::new(ChangeSubscriber::new(prefix.clone(), near));
    let listener: Arc<dyn ChangeListener> = Arc::clone(&subscriber) as _;
    if keeps_near {
        client.add_sibling(Arc::downgrade(&listener));
    }
    match client.track(prefix, *near_staleness, listener) {
        Some(subscription) => Ok(Some((subscriber, subscription))),
        None => refuse(
            if keeps_near { "near_cache" } else { "tracking" },
            "this store does not push its changes",
        ),
    }
}
