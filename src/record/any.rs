//! Records of a type that only the handle of their cache knows.
//!
//! The engine, the read path and the write path are compiled once, and not once for each type of
//! records. They pass an [`AnyRecord`] on, and never look into it. The public handles convert
//! between it and their type: all records of one cache have the same one.

use std::{
    any::{Any, type_name},
    sync::Arc,
};

/// A record that readers share. A clone is the same record.
#[derive(Clone)]
pub(crate) struct AnyRecord(Arc<dyn Any + Send + Sync>);

impl AnyRecord {
    pub(crate) fn new<R: Send + Sync + 'static>(record: R) -> AnyRecord {
        AnyRecord(Arc::new(record))
    }

    /// The record of a cache of `R`.
    ///
    /// # Panics
    ///
    /// Panics if it is of another type, which would be a fault of this crate. So do the others.
    pub(crate) fn get<R: 'static>(&self) -> &R {
        self.0.downcast_ref().unwrap_or_else(|| not_of::<R>())
    }

    #[inline]
    pub(crate) fn into_arc<R: Send + Sync + 'static>(self) -> Arc<R> {
        self.0.downcast().unwrap_or_else(|_| not_of::<R>())
    }

    /// Whether it is the same record, and not only an equal one.
    pub(crate) fn is(&self, other: &AnyRecord) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cold]
fn not_of<R>() -> ! {
    unreachable!("a record is not of the type `{}`", type_name::<R>())
}
