//! The id of a record as text. The public calls create it; the rest of the crate gets a `&str`.
//!
//! Public calls take an id of any type that implements `Display`: `&str`, an integer, a `Uuid`.
//! This file formats it, **once for each call**: a type may print another text the second time. It
//! is also the only place that checks what every id must satisfy.
//!
//! An id is formatted into a buffer that its thread keeps, so no call allocates for its id. A call
//! takes the buffer away and puts it back at its end. A call that begins meanwhile on the same
//! thread, in a loader or in a `Display` implementation, finds no buffer. It uses a new one, which
//! costs one allocation. So no call can see or change the id of another, and a panic loses at most
//! the buffer.
//!
//! A plain `&str` is copied too, since Rust cannot tell it from other types here. That is a quarter
//! of the instructions of a near hit, mostly the machinery of `write!`. A buffer on the stack is
//! slower: without unsafe code its bytes must be checked to be UTF-8.

use std::{
    cell::Cell,
    fmt::{self, Display, Write},
    mem,
    ops::Deref,
};

use crate::error::Error;

/// Names are shorter than this. A key is sent several times, and must cost little compared with its
/// record.
const LONGEST: usize = 64 << 10;

/// A buffer larger than this is freed after its call, so that a thread does not keep much memory
/// because of one long id. A URL of usual length fits.
const KEPT: usize = 2 << 10;

thread_local! {
    /// The buffer for the next id. Its old content belongs to no call.
    static BUFFER: Cell<String> = const { Cell::new(String::new()) };
}

/// An id in the buffer of its thread.
#[derive(Debug)]
pub(crate) struct Id {
    text: String,
}

impl Id {
    /// Formats and checks the id of a call. Inlined, like the other steps of a near hit.
    #[inline]
    pub(crate) fn new(id: &dyn Display) -> Result<Id, Error> {
        // Fails at the end of the thread, if a destructor of another thread-local value calls this.
        let mut text = BUFFER.try_with(Cell::take).unwrap_or_default();
        text.clear();
        let mut formatted = Id { text };
        match append(&mut formatted.text, id) {
            Ok(()) => Ok(formatted),
            Err(reason) => Err(Error::InvalidId { reason }),
        }
    }

    /// Formats an id that a loader returned. `None`: no lookup can have asked for it.
    pub(crate) fn of_loaded(id: &dyn Display) -> Result<Option<Id>, Error> {
        match Id::new(id) {
            Ok(id) => Ok(Some(id)),
            Err(Error::InvalidId { reason }) if reason != UNPRINTABLE => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Deref for Id {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.text
    }
}

impl Drop for Id {
    #[inline]
    fn drop(&mut self) {
        if self.text.capacity() <= KEPT {
            let text = mem::take(&mut self.text);
            // Fails only if it failed in `new` too.
            let _ = BUFFER.try_with(|buffer| buffer.set(text));
        }
    }
}

/// The ids of a call for many records: one text, and where each id ends in it. An allocation for
/// each id would cost more than the formatting.
#[derive(Debug)]
pub(crate) struct Ids {
    text: String,
    ends: Vec<usize>,
}

impl Ids {
    /// Formats and checks all of them. The iterator and the ids may use the cache themselves.
    pub(crate) fn new(ids: impl IntoIterator<Item: Display>) -> Result<Ids, Error> {
        let mut formatted = Ids {
            text: String::new(),
            ends: Vec::new(),
        };
        for id in ids {
            formatted.push(&id)?;
        }
        Ok(formatted)
    }

    fn push(&mut self, id: &dyn Display) -> Result<(), Error> {
        append(&mut self.text, id).map_err(|reason| Error::InvalidId { reason })?;
        self.ends.push(self.text.len());
        Ok(())
    }

    /// The ids in the order in which they were given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.text[start..end])
    }
}

const EMPTY: &str = "it is empty";
const TOO_LONG: &str = "it is longer than 64 KiB";
const UNPRINTABLE: &str = "its `Display` implementation failed";

/// Appends the text of an id, and checks it. If the id is refused, returns only the reason:
/// returning a whole `Error` would cost every near hit 2 ns.
#[inline(never)]
fn append(text: &mut String, id: &dyn Display) -> Result<(), &'static str> {
    let start = text.len();
    let mut bounded = Bounded {
        text,
        most: start + LONGEST,
        is_full: false,
    };
    let written = write!(bounded, "{id}");
    // Checked before `written`: an implementation may ignore that it could not write.
    if bounded.is_full {
        Err(TOO_LONG)
    } else if written.is_err() {
        Err(UNPRINTABLE)
    } else if bounded.text.len() == start {
        Err(EMPTY)
    } else {
        Ok(())
    }
}

/// Refuses an id above the limit while it is being formatted, so that it does not fill the memory.
struct Bounded<'a> {
    text: &'a mut String,
    most: usize,
    is_full: bool,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // After the first refusal, nothing more is written, although a shorter part might still
        // fit.
        self.is_full |= self.text.len() + part.len() > self.most;
        if self.is_full {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
