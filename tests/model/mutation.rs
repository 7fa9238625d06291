//! The ways to break the protocol that the model must find, with tests that it does.

use crate::{
    INVALIDATE, INVALIDATE_APART, INVALIDATE_AT, INVALIDATE_TWICE, OTHER_WRITE,
    OTHER_WRITE_THROUGH, PLAIN, UPDATE_FIELD, VERSIONS, WRITE, WRITE_THROUGH,
    check::{ALL_END, FRESH, ONE_LEADER, SHORTENED, TTLS},
    holds, is_caught,
    state::{Action, Protocol},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A fill writes whether or not its token still stands.
    FillIgnoresToken,
    /// A fill writes a record that never expires.
    FillWithoutTtl,
    /// A lease is taken that never lapses.
    AcquireWithoutTtl,
    /// A lease is taken although another exists.
    AcquireOverwrites,
    /// A renewal restores a lease that has lapsed or was ended.
    RenewalRevives,
    /// A caller that misses joins any call for the key in its process.
    CallsByKey,
    /// A write that ends under another writer's guard keeps the nonce.
    NonceKept,
    /// A request that is sent again carries the nonce of the first attempt.
    RepeatKeepsNonce,
    /// An entry that lapses while another remains keeps the nonce.
    LapseKeepsNonce,
    /// A second writer's guard replaces the first's, and its end deletes it.
    GuardHoldsOneWriter,
    /// A field update does not end the loads under way.
    UpdateLeavesLease,
    /// An invalidation in two steps ends the record first, then the loads.
    RecordEndsFirst,
    /// A field update leaves a cached "not found" as it is.
    UpdateLeavesSentinel,
    /// A caller that meets a lease with more time left than it was given does not shorten it.
    AcquireLeavesLeaseStretched,
    /// The same with the places of a guard.
    AcquireLeavesGuardStretched,
    /// A write that ends beside such places does not shorten them.
    UnguardLeavesGuardStretched,
    /// An invalidation at a version does not raise the floor.
    FloorNotRaised,
    /// A load returns what the replica has, although it is below the floor.
    BelowFloorReturned,
    /// An invalidation without a version leaves the floor as it is.
    PlainLeavesFloor,
    /// A guard leaves the floor as it is.
    GuardLeavesFloor,
    /// A record is written through whatever nonce the guard has.
    ThroughIgnoresNonce,
    /// A record is written through although another writer has a place in the guard.
    ThroughBesideOthers,
    /// A loader that says that nothing has changed has seen the record from before the lease.
    SeenBeforeLease,
    /// A reader shares a load that began before its tag was invalidated.
    OlderLoadJoined,
    /// The same during a guard: loads are shared by its nonce alone.
    GuardedLoadShared,
    /// A tag that is missing counts as one that was never invalidated.
    MissingTagIsOld,
    /// A clock that is missing begins an epoch that there was before.
    EpochUsedAgain,
    /// A server that takes over goes on with the epoch of the former one.
    FailoverKeepsEpoch,
    /// A record gets the value that the clock has when it is filled.
    StampedAtFill,
    /// A record that is written through gets the value that the clock has after the write.
    ThroughStampedLate,
    /// The invalidation of a tag leaves the floor as it is.
    TagLeavesFloor,
}

#[test]
fn a_fill_that_does_not_check_its_token_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::FillIgnoresToken, FRESH);
}

#[test]
fn a_fill_without_ttl_is_caught() {
    is_caught(PLAIN, Mutation::FillWithoutTtl, TTLS);
}

#[test]
fn an_acquire_without_ttl_is_caught_and_strands_waiters() {
    is_caught(PLAIN, Mutation::AcquireWithoutTtl, TTLS);
    let way = is_caught(PLAIN, Mutation::AcquireWithoutTtl, ALL_END);
    assert!(crashes(&way));
}

#[test]
fn an_acquire_that_overwrites_a_lease_is_caught() {
    is_caught(PLAIN, Mutation::AcquireOverwrites, ONE_LEADER);
}

#[test]
fn a_renewal_that_revives_a_lease_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::RenewalRevives, FRESH);
}

#[test]
fn calls_found_by_key_are_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::CallsByKey, FRESH);
}

#[test]
fn a_guard_that_keeps_its_nonce_is_caught() {
    let protocol = Protocol {
        writers: &[WRITE, INVALIDATE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::NonceKept, FRESH);
    let protocol = Protocol {
        writers: &[WRITE, OTHER_WRITE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::NonceKept, FRESH);
}

#[test]
fn an_invalidation_in_two_steps_that_ends_the_record_first_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE_APART],
        ..PLAIN
    };
    is_caught(protocol, Mutation::RecordEndsFirst, FRESH);
}

/// Set a second time, a nonce admits loads from before a write that ended in between.
#[test]
fn a_request_that_is_sent_again_with_its_nonce_is_caught() {
    let protocol = Protocol {
        readers: 2,
        writers: &[WRITE, INVALIDATE_TWICE, INVALIDATE],
        ..PLAIN
    };
    is_caught(protocol, Mutation::RepeatKeepsNonce, FRESH);
}

/// A call from before a writer's commit is found again after that writer died and its entry lapsed.
#[test]
fn a_lapse_under_another_writers_guard_that_keeps_the_nonce_is_caught() {
    let protocol = Protocol {
        readers: 2,
        writers: &[WRITE, OTHER_WRITE],
        crashes: &[1],
        ..PLAIN
    };
    let way = is_caught(protocol, Mutation::LapseKeepsNonce, FRESH);
    assert!(crashes(&way));
}

#[test]
fn a_guard_that_holds_one_writer_only_is_caught_when_the_other_crashes() {
    let protocol = Protocol {
        readers: 2,
        writers: &[WRITE, OTHER_WRITE],
        ..PLAIN
    };
    let way = is_caught(protocol, Mutation::GuardHoldsOneWriter, FRESH);
    assert!(crashes(&way));
    // While both writers live it does no harm: each ends the leases itself.
    holds(Protocol {
        crashes: &[],
        mutation: Some(Mutation::GuardHoldsOneWriter),
        ..protocol
    });
}

#[test]
fn a_field_update_that_leaves_the_lease_is_caught() {
    let protocol = Protocol {
        writers: &[UPDATE_FIELD],
        ..PLAIN
    };
    is_caught(protocol, Mutation::UpdateLeavesLease, FRESH);
}

#[test]
fn a_field_update_that_leaves_a_not_found_is_caught() {
    let protocol = Protocol {
        writers: &[UPDATE_FIELD],
        not_found: true,
        ..PLAIN
    };
    is_caught(protocol, Mutation::UpdateLeavesSentinel, FRESH);
}

/// The lease of a reader that died lasts as long as the step, and so does the wait of the others.
#[test]
fn a_stretched_lease_that_is_left_so_is_caught_and_strands_waiters() {
    let protocol = Protocol {
        steps_back: 1,
        ..PLAIN
    };
    let mutation = Mutation::AcquireLeavesLeaseStretched;
    is_caught(protocol, mutation, SHORTENED);
    let way = is_caught(protocol, mutation, ALL_END);
    assert!(crashes(&way) && way.contains(&Action::ClockIsSetBack));
}

/// The guard of a writer that died keeps the record out of the cache for as long as the step.
#[test]
fn a_stretched_guard_that_is_left_so_is_caught() {
    let protocol = Protocol {
        readers: 1,
        writers: &[WRITE],
        steps_back: 1,
        ..PLAIN
    };
    let mutation = Mutation::AcquireLeavesGuardStretched;
    let way = is_caught(protocol, mutation, SHORTENED);
    assert!(crashes(&way) && way.contains(&Action::ClockIsSetBack));
}

#[test]
fn a_stretched_guard_that_another_write_leaves_so_is_caught() {
    let protocol = Protocol {
        readers: 1,
        writers: &[WRITE, OTHER_WRITE],
        steps_back: 1,
        ..PLAIN
    };
    let mutation = Mutation::UnguardLeavesGuardStretched;
    is_caught(protocol, mutation, SHORTENED);
}

#[test]
fn an_invalidation_at_a_version_that_raises_no_floor_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE_AT],
        ..VERSIONS
    };
    is_caught(protocol, Mutation::FloorNotRaised, FRESH);
}

#[test]
fn a_load_below_the_floor_that_is_returned_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE_AT],
        ..VERSIONS
    };
    is_caught(protocol, Mutation::BelowFloorReturned, FRESH);
}

#[test]
fn an_invalidation_without_a_version_that_leaves_the_floor_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE],
        ..VERSIONS
    };
    is_caught(protocol, Mutation::PlainLeavesFloor, FRESH);
}

/// The guard of the dead writer lapses before the replica has its commit.
#[test]
fn a_guard_that_leaves_the_floor_is_caught_when_its_writer_crashes() {
    let protocol = Protocol {
        writers: &[WRITE],
        ..VERSIONS
    };
    let way = is_caught(protocol, Mutation::GuardLeavesFloor, FRESH);
    assert!(crashes(&way));
    // While the writer lives it does no harm: its end makes the floor unknown.
    holds(Protocol {
        crashes: &[],
        mutation: Some(Mutation::GuardLeavesFloor),
        ..protocol
    });
}

#[test]
fn a_record_that_is_written_through_under_another_nonce_is_caught() {
    for writers in [
        &[WRITE_THROUGH, INVALIDATE] as &[_],
        &[WRITE_THROUGH, OTHER_WRITE],
    ] {
        let protocol = Protocol {
            writers,
            versions: false,
            ..VERSIONS
        };
        is_caught(protocol, Mutation::ThroughIgnoresNonce, FRESH);
    }
}

#[test]
fn a_nonce_that_is_kept_is_caught_by_a_record_that_is_written_through() {
    let protocol = Protocol {
        readers: 1,
        writers: &[WRITE_THROUGH, INVALIDATE],
        ..VERSIONS
    };
    is_caught(protocol, Mutation::NonceKept, FRESH);
}

/// An earlier writer commits later, and dies. Its guard should keep its commit safe.
#[test]
fn a_record_that_is_written_through_beside_another_writer_is_caught() {
    let protocol = Protocol {
        writers: &[OTHER_WRITE_THROUGH, WRITE],
        versions: false,
        ..VERSIONS
    };
    let way = is_caught(protocol, Mutation::ThroughBesideOthers, FRESH);
    assert!(crashes(&way));
}

/// A field is updated in place between the read and the lease. Those who share the load would get
/// the record from before the update.
#[test]
fn a_record_that_was_seen_before_the_lease_and_is_kept_is_caught() {
    let protocol = Protocol {
        writers: &[UPDATE_FIELD],
        refresh: true,
        keep: true,
        ..PLAIN
    };
    is_caught(protocol, Mutation::SeenBeforeLease, FRESH);
}

fn crashes(way: &[Action]) -> bool {
    way.iter().any(|step| matches!(step, Action::Crash(_)))
}
