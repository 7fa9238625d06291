//! Which flushes a look at the outbox completes.

use super::*;
use crate::{backend::memory::Memory, cache::Cache};

/// An outbox that is empty, and during whose look a flush is asked for.
struct Asks(Arc<RelayProgress>);

impl Outbox for Asks {
    fn fetch(&mut self, _: &[&str], _: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        self.0.ask();
        Ok(Vec::new())
    }

    fn acknowledge(&mut self, _: &[i64]) -> Result<(), OutboxError> {
        unreachable!("there is nothing to acknowledge")
    }
}

#[test]
fn a_look_completes_the_flushes_that_were_asked_for_before_it_and_no_others() {
    let cache: Cache = Cache::builder(Memory::new(1))
        .prefix("test:")
        .build()
        .unwrap();
    let progress = Arc::new(RelayProgress::default());
    let relay = Relay {
        targets: vec![Arc::new(cache)],
        reporter: Arc::new(OutboxReporter::new("test".to_owned())),
        progress: Arc::clone(&progress),
    };
    let mut rounds = Rounds::new(&relay, Asks(Arc::clone(&progress)));
    let is_complete = |number| progress.wait_for_flush(number, Duration::ZERO);
    for look in 1..=3 {
        assert!(matches!(rounds.next(), RoundOutcome::Drained));
        assert!(is_complete(look - 1), "{look}");
        assert!(!is_complete(look), "{look}");
    }
}
