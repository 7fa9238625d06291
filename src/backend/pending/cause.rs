//! The causes of errors of records that are not read because of a pending invalidation.

/// Why a record is not read from the store, which may hold an outdated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PendingError {
    #[error("not sent, because an earlier invalidation of this record is pending")]
    Record,
    #[error("not sent, because an earlier invalidation of a tag is pending")]
    Tag,
    #[error(
        "not sent, because too many invalidations are pending, so no record with the prefix is \
         read from Redis"
    )]
    TooMany,
    #[error(
        "not sent, because a `clear` did not finish, so no record with the prefix is read from \
         Redis"
    )]
    Clear,
}
