//! The position of a serializer in a value, and the reason why the value is refused there.
//!
//! Guarantees that a reason quotes nothing of the value: no key of a map, and no text of an error
//! that may be a type's own.
//!
//! No user code runs while the path is borrowed.

use std::cell::{Cell, RefCell};

use serde::ser;

use crate::record::fields::OWN_ERROR;

const DEEP: &str = "values that are nested deeper than 127 levels cannot be read back; flatten \
    them";

/// The deepest nesting that `serde_json` reads.
const DEEPEST: u8 = 127;

/// The path to the first error, and its reason.
#[derive(Default)]
pub(super) struct Trail {
    /// The path to the error, built from its end while the error is returned.
    steps: RefCell<String>,
    /// The reason of [`Place::refuse`], if the error was made there.
    refusal: Cell<Option<&'static str>>,
}

impl Trail {
    /// Why the value was refused, and where.
    pub(super) fn reason(&self, error: &serde_json::Error) -> String {
        let reason = match self.refusal.get() {
            Some(reason) => reason.to_owned(),
            // `serde_json` itself refused it, for example a key that is not text.
            None if !error.is_data() => error.to_string(),
            None => OWN_ERROR.to_owned(),
        };
        match self.steps.borrow().trim_start_matches('.') {
            "" => reason,
            place => format!("{reason} (at `{place}`)"),
        }
    }
}

/// The position of the serializer in the whole value.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    trail: &'a Trail,
    depth: u8,
    in_some: bool,
}

impl<'a> Place<'a> {
    /// The whole value.
    pub(super) fn root(trail: &'a Trail) -> Place<'a> {
        Place {
            trail,
            depth: 0,
            in_some: false,
        }
    }

    pub(super) fn is_in_some(self) -> bool {
        self.in_some
    }

    pub(super) fn in_some(self) -> Place<'a> {
        Place {
            in_some: true,
            ..self
        }
    }

    pub(super) fn below<E: ser::Error>(self, levels: u8) -> Result<Place<'a>, E> {
        let depth = self.depth + levels;
        if depth > DEEPEST {
            return Err(self.refuse(DEEP));
        }
        Ok(Place {
            depth,
            in_some: false,
            ..self
        })
    }

    pub(super) fn refuse<E: ser::Error>(self, reason: &'static str) -> E {
        self.trail.refusal.set(Some(reason));
        E::custom(reason)
    }

    /// Adds a step to the path to an error.
    pub(super) fn step<T, E>(
        self,
        done: Result<T, E>,
        step: impl FnOnce() -> String,
    ) -> Result<T, E> {
        if done.is_err() {
            self.trail.steps.borrow_mut().insert_str(0, &step());
        }
        done
    }
}
