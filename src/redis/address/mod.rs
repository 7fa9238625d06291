//! Addresses of servers: as a program writes them, as a cluster reports them, and the look-up of
//! their names.

#[cfg(feature = "cluster")]
pub(crate) mod node_address;
pub(crate) mod resolver;
pub(crate) mod server_address;
pub(crate) mod url;
