//! Why a cache did not store a loaded record, as its observer receives it.

#![allow(dead_code, unreachable_pub, reason = "each user takes its own part")]

use std::sync::{Arc, Mutex};

use cache_aside::Event;

/// The field, where one is named, and the reason.
pub type Reason = (Option<String>, String);

#[derive(Clone, Default)]
pub struct Reasons(Arc<Mutex<Vec<Reason>>>);

impl Reasons {
    pub fn observer(&self) -> impl Fn(&str, &Event<'_>) + Send + Sync + 'static {
        let reasons = Arc::clone(&self.0);
        move |_: &str, event: &Event<'_>| {
            if let Event::Unstorable { field, reason, .. } = event {
                let field = field.map(str::to_owned);
                reasons.lock().unwrap().push((field, (*reason).to_owned()));
            }
        }
    }

    /// The events since the last call: nothing, or one reason.
    pub fn take(&self) -> Result<(), Reason> {
        let mut heard = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(heard.len() < 2, "{heard:?}");
        heard.pop().map_or(Ok(()), Err)
    }
}
