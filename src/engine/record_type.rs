//! What an engine knows of the type of its records: functions, which convert and compare them.
//!
//! Chosen when a cache is built. Called by the read path and the write path, which know records as
//! [`AnyRecord`] only.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    record::{
        any::AnyRecord,
        fields::{
            Differing, FieldChange, Fields, Schema, Undecodable, Unstorable, differing,
            from_fields, names, set_field, to_fields,
        },
    },
    telemetry::recorder::Fingerprint,
};

/// The functions of [`fields`](crate::record::fields) for records of one type.
#[derive(Clone, Copy)]
pub(crate) struct RecordType {
    pub(crate) to_fields: fn(&AnyRecord, &Schema) -> Result<Fields, Unstorable>,
    pub(crate) from_fields: fn(Fields, &Schema) -> Result<Option<AnyRecord>, Undecodable>,
    pub(crate) names: fn(&AnyRecord) -> Result<Vec<Vec<u8>>, Unstorable>,
    pub(crate) set_field: fn(&Fields, &[u8], &[u8], &Schema) -> FieldChange,
    pub(crate) differing: fn(&AnyRecord, &AnyRecord) -> Result<Vec<Differing>, Unstorable>,
    /// For the event log.
    pub(crate) fingerprint: Fingerprint,
}

impl RecordType {
    pub(crate) fn of<R: Serialize + DeserializeOwned + Send + Sync + 'static>() -> RecordType {
        RecordType {
            to_fields: |record, schema| to_fields(record.get::<R>(), schema),
            from_fields: |fields, schema| {
                let record = from_fields::<R>(fields, schema)?;
                Ok(record.map(AnyRecord::new))
            },
            names: |record| names(record.get::<R>()),
            set_field: set_field::<R>,
            differing: |one, other| differing(one.get::<R>(), other.get::<R>()),
            fingerprint: Fingerprint::of_type::<R>(),
        }
    }
}
