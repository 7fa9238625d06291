//! What a record may contain: it comes back unchanged, or it is rejected.

#[cfg(feature = "json")]
mod as_json;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
mod json_back;
mod round_trips;
mod sizes;
mod unstorable;

#[path = "../support/reasons.rs"]
mod reasons;
#[path = "../support/mod.rs"]
mod support;
