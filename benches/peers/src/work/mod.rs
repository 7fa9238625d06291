//! The kinds of work, a file each: they ask peers, and know nothing of tables and pictures.

pub(crate) mod calls;
pub(crate) mod memory;
pub(crate) mod stampede;
pub(crate) mod threads;
