//! The threads that open the connections to all nodes of a cluster.
//!
//! Guarantees that a cluster has a limited number of them, whatever nodes its servers name.
//! [`connect_threads`](crate::redis::pool::connect_threads) starts them, a set at a time. Called by
//! the topology. Knows no nodes.

use crate::redis::pool::{connect_threads::SharedThreads, lazy_pool::LazyPool};

/// How many sets of threads the nodes have. So up to 32 nodes share none. In a larger cluster, a
/// node that is silent delays the new connections of those nodes that have the same set, but not
/// requests on open connections.
const SETS: usize = 32;

pub(super) struct NodeThreads {
    sets: Vec<SharedThreads>,
    /// One more set. All unconfirmed nodes have it, so that none of them delays another node.
    unconfirmed: SharedThreads,
}

impl NodeThreads {
    pub(super) fn new() -> NodeThreads {
        NodeThreads {
            sets: (0..SETS).map(|_| SharedThreads::default()).collect(),
            unconfirmed: SharedThreads::default(),
        }
    }

    /// A pool for a node, with a set of threads that the fewest nodes have.
    pub(super) fn pool(&self) -> LazyPool {
        let fewest = self.sets.iter().min_by_key(|set| set.clones());
        LazyPool::sharing(fewest.cloned().unwrap_or_default())
    }

    /// A pool for an unconfirmed node.
    pub(super) fn unconfirmed_pool(&self) -> LazyPool {
        LazyPool::short_lived(self.unconfirmed.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_nodes_share_no_threads_and_many_share_them_evenly() {
        let threads = NodeThreads::new();
        let users = || threads.sets.iter().map(|set| set.clones() - 1);
        let mut pools: Vec<_> = (0..SETS).map(|_| threads.pool()).collect();
        assert!(users().all(|users| users == 1));
        pools.extend((0..1_000 - SETS).map(|_| threads.pool()));
        assert!(users().all(|users| (1_000 / SETS..=1_000 / SETS + 1).contains(&users)));
        // Those that are gone leave their places.
        pools.truncate(1);
        pools.extend((1..SETS).map(|_| threads.pool()));
        assert!(users().all(|users| users == 1));
        let _unconfirmed = threads.unconfirmed_pool();
        assert!(users().all(|users| users == 1));
    }
}
