//! Remembers which field names have been logged, so that each is logged once.
//!
//! Guarantees bounded memory: after `MOST` names, new ones are not logged. Called by the reporter.

use std::collections::HashSet;

use crate::util::sync::Mutex;

/// A record type has fewer fields than this, and nobody reads a hundred log lines about them.
const MOST: usize = 100;

/// The logged fields; `None` stands for the record as a whole.
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Mutex<HashSet<Option<String>>>);

impl LogOnce {
    /// Whether this name should be logged: true once for each name.
    pub(crate) fn is_first(&self, field: Option<&str>) -> bool {
        let field = field.map(str::to_owned);
        let mut logged = self.0.lock();
        logged.len() < MOST && logged.insert(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_logged_once_and_no_more_than_the_bound_are_remembered() {
        let once = LogOnce::default();
        assert!(once.is_first(None));
        assert!(!once.is_first(None));
        let names = || (0..2 * MOST).map(|name| name.to_string());
        let logged = |name: &String| once.is_first(Some(name));
        assert_eq!(names().filter(logged).count(), MOST - 1);
        assert_eq!(names().filter(logged).count(), 0);
        assert_eq!(once.0.lock().len(), MOST);
    }
}
