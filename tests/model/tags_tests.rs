//! The promises of tags, and the broken rules that the model must find.

use crate::{
    INVALIDATE, INVALIDATE_AT, PLAIN, UPDATE_FIELD, WRITE, WRITE_THROUGH,
    check::FRESH,
    holds, is_caught,
    mutation::Mutation,
    state::{Action, Protocol, Write},
    tags::{Loss, Tagging},
    write::Kind,
};

const INVALIDATE_TAG: Write = Write {
    kind: Kind::InvalidateTag,
    ..INVALIDATE
};

const INVALIDATE_TAG_APART: Write = Write {
    apart: true,
    ..INVALIDATE_TAG
};

const BY_CALLER: Tagging = Tagging {
    by_loader: false,
    losses: 0,
    failovers: 0,
};
const BY_LOADER: Tagging = Tagging {
    by_loader: true,
    ..BY_CALLER
};

const TAGGED: Protocol = Protocol {
    readers: 2,
    writers: &[INVALIDATE_TAG],
    crashes: &[],
    tags: Some(BY_CALLER),
    ..PLAIN
};

fn with_losses(tagging: Tagging, losses: u8) -> Tagging {
    Tagging { losses, ..tagging }
}

#[test]
fn the_promises_hold_around_an_invalidation_of_a_tag() {
    for tags in [BY_CALLER, BY_LOADER] {
        holds(Protocol {
            readers: 3,
            crashes: &[1],
            tags: Some(tags),
            ..TAGGED
        });
        holds(Protocol {
            writers: &[INVALIDATE_TAG, INVALIDATE],
            refresh: true,
            panic: true,
            tags: Some(tags),
            ..TAGGED
        });
    }
}

/// What such a load returns must not be older than its lease says.
#[test]
fn the_promises_hold_around_tags_where_loaders_say_that_nothing_has_changed() {
    for writers in [
        &[INVALIDATE_TAG, UPDATE_FIELD] as &[_],
        &[INVALIDATE_TAG, INVALIDATE],
    ] {
        holds(Protocol {
            writers,
            refresh: true,
            keep: true,
            ..TAGGED
        });
    }
}

#[test]
fn the_promises_hold_around_an_invalidation_of_a_tag_in_two_steps() {
    holds(Protocol {
        writers: &[INVALIDATE_TAG_APART, INVALIDATE_TAG],
        ..TAGGED
    });
}

#[test]
fn the_promises_hold_where_tags_and_the_clock_get_lost() {
    for tags in [BY_CALLER, BY_LOADER] {
        holds(Protocol {
            tags: Some(with_losses(tags, 2)),
            ..TAGGED
        });
    }
    holds(Protocol {
        writers: &[INVALIDATE_TAG, INVALIDATE_TAG],
        tags: Some(with_losses(BY_CALLER, 1)),
        ..TAGGED
    });
}

#[test]
fn the_promises_hold_where_a_replica_without_the_latest_values_takes_over() {
    holds(Protocol {
        writers: &[INVALIDATE_TAG, INVALIDATE_TAG],
        tags: Some(Tagging {
            failovers: 1,
            ..BY_CALLER
        }),
        ..TAGGED
    });
}

#[test]
fn the_promises_hold_around_an_invalidation_of_a_tag_and_other_writes() {
    for writers in [
        &[INVALIDATE_TAG, WRITE] as &[_],
        &[INVALIDATE_TAG, WRITE_THROUGH],
        &[INVALIDATE_TAG, UPDATE_FIELD],
    ] {
        holds(Protocol { writers, ..TAGGED });
    }
}

#[test]
fn the_promises_hold_around_an_invalidation_of_a_tag_where_replicas_of_the_primary_lag() {
    holds(Protocol {
        writers: &[INVALIDATE_TAG, INVALIDATE_AT],
        versions: true,
        ..TAGGED
    });
}

#[test]
#[ignore = "eight million states"]
fn the_promises_hold_around_tags_and_all_of_it() {
    for tags in [BY_CALLER, BY_LOADER] {
        holds(Protocol {
            writers: &[INVALIDATE_TAG, WRITE_THROUGH],
            versions: true,
            tags: Some(tags),
            ..TAGGED
        });
        holds(Protocol {
            writers: &[INVALIDATE_TAG, WRITE],
            crashes: &[1],
            refresh: true,
            panic: true,
            tags: Some(with_losses(tags, 1)),
            ..TAGGED
        });
        holds(Protocol {
            writers: &[INVALIDATE_TAG, INVALIDATE_TAG],
            refresh: true,
            tags: Some(Tagging {
                losses: 1,
                failovers: 1,
                ..tags
            }),
            ..TAGGED
        });
    }
}

#[test]
fn a_load_from_before_the_invalidation_of_a_tag_that_is_joined_is_caught() {
    for tags in [BY_CALLER, BY_LOADER] {
        let protocol = Protocol {
            tags: Some(tags),
            ..TAGGED
        };
        is_caught(protocol, Mutation::OlderLoadJoined, FRESH);
    }
}

/// The guard keeps its nonce, because the invalidation of a tag touches no record.
#[test]
fn a_load_under_a_guard_that_is_joined_after_the_invalidation_of_a_tag_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE_TAG, WRITE],
        ..TAGGED
    };
    is_caught(protocol, Mutation::GuardedLoadShared, FRESH);
}

/// The lookup does not know the tag, so it loads beside the older load, whose lease stays.
#[test]
fn an_older_load_that_is_joined_by_who_loads_beside_it_is_caught() {
    let protocol = Protocol {
        tags: Some(BY_LOADER),
        ..TAGGED
    };
    is_caught(protocol, Mutation::GuardedLoadShared, FRESH);
}

#[test]
fn a_missing_tag_that_counts_as_old_is_caught() {
    let protocol = Protocol {
        readers: 1,
        tags: Some(with_losses(BY_CALLER, 1)),
        ..TAGGED
    };
    let way = is_caught(protocol, Mutation::MissingTagIsOld, FRESH);
    assert!(way.contains(&Action::Loses(Loss::Tag)));
}

#[test]
fn a_missing_clock_that_begins_an_old_epoch_is_caught() {
    let protocol = Protocol {
        tags: Some(with_losses(BY_CALLER, 2)),
        ..TAGGED
    };
    is_caught(protocol, Mutation::EpochUsedAgain, FRESH);
}

/// The next invalidation gets a value that a record already has.
#[test]
fn a_server_that_takes_over_and_goes_on_with_the_epoch_is_caught() {
    let protocol = Protocol {
        writers: &[INVALIDATE_TAG, INVALIDATE_TAG],
        tags: Some(Tagging {
            failovers: 1,
            ..BY_CALLER
        }),
        ..TAGGED
    };
    let way = is_caught(protocol, Mutation::FailoverKeepsEpoch, FRESH);
    assert!(way.contains(&Action::TagsFailOver));
}

#[test]
fn a_record_with_the_value_of_the_clock_at_its_fill_is_caught() {
    is_caught(TAGGED, Mutation::StampedAtFill, FRESH);
}

#[test]
fn a_record_written_through_with_the_value_of_the_clock_after_the_write_is_caught() {
    let protocol = Protocol {
        readers: 1,
        writers: &[INVALIDATE_TAG, WRITE_THROUGH],
        ..TAGGED
    };
    is_caught(protocol, Mutation::ThroughStampedLate, FRESH);
}

#[test]
fn an_invalidation_of_a_tag_that_leaves_the_floor_is_caught() {
    let protocol = Protocol {
        readers: 1,
        versions: true,
        ..TAGGED
    };
    is_caught(protocol, Mutation::TagLeavesFloor, FRESH);
}
