//! What a record may hold: what is stored comes back as it was, and the rest is refused.

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
