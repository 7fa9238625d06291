//! Sends requests to several nodes at the same time. Knows nothing of the requests.

use std::{panic::resume_unwind, thread};

/// The number of nodes that are asked at the same time. A thread costs about as much as a round
/// trip within a building. With more nodes, each thread asks several of them, one after the other.
const AT_ONCE: usize = 8;

/// Asks for each share, on separate threads if there are several shares.
pub(super) fn in_parallel<S: Sync, T: Send>(shares: &[S], ask: impl Fn(&S) -> T + Sync) -> Vec<T> {
    let threads = shares.len().min(AT_ONCE);
    if threads < 2 {
        return shares.iter().map(ask).collect();
    }
    let some = |first: usize| shares.iter().skip(first).step_by(threads);
    let ask_some = |first: usize| some(first).map(&ask).collect::<Vec<_>>();
    let columns: Vec<Vec<T>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|first| {
                let ask_some = &ask_some;
                let builder = thread::Builder::new().name("cache-aside-batch".to_owned());
                builder.spawn_scoped(scope, move || ask_some(first))
            })
            .collect();
        let own = ask_some(0);
        let others = others
            .into_iter()
            .enumerate()
            .map(|(at, other)| match other {
                Ok(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No thread could be started.
                Err(_) => ask_some(at + 1),
            });
        std::iter::once(own).chain(others).collect()
    });
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let answers = (0..shares.len()).map(|at| columns[at % threads].next());
    answers.flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicU32, Ordering::SeqCst},
    };

    use super::*;

    #[test]
    fn what_is_asked_at_the_same_time_comes_back_in_order() {
        for count in [0, 1, 2, 7, 8, 9, 30] {
            let all: Vec<usize> = (0..count).collect();
            assert_eq!(in_parallel(&all, |item| *item), all);
        }
    }

    /// The sender of the batch gets the panic. By then all parts of the batch have ended.
    #[test]
    fn a_panic_of_one_reaches_the_caller_when_the_others_have_ended() {
        for panics in [[0].as_slice(), &[1], &[7], &[0, 3, 6]] {
            let ended = AtomicU32::new(0);
            let all: Vec<usize> = (0..8).collect();
            let asked = catch_unwind(AssertUnwindSafe(|| {
                in_parallel(&all, |item| {
                    assert!(!panics.contains(item), "the node's own");
                    ended.fetch_add(1, SeqCst);
                })
            }));
            assert!(asked.is_err());
            assert_eq!(ended.load(SeqCst) as usize, 8 - panics.len());
        }
    }
}
