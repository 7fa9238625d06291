//! The kinds of work, one file each. They call peers, and know nothing of tables and pictures.

pub(crate) mod calls;
pub(crate) mod memory;
pub(crate) mod stampede;
pub(crate) mod threads;
