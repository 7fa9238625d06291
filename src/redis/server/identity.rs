//! The facts that distinguish one server from another. Pure: sends nothing.

/// The role that a server reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Replica,
}

impl Role {
    /// Parses the names that `HELLO`, `INFO` and `ROLE` use.
    pub(crate) fn named(name: &str) -> Option<Role> {
        match name {
            "master" => Some(Role::Master),
            "replica" | "slave" => Some(Role::Replica),
            _ => None,
        }
    }
}

/// The facts that distinguish one server from another. `None`: the server denies the fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerIdentity {
    pub(crate) role: Option<Role>,
    /// Different after each start of the server.
    pub(crate) run_id: Option<String>,
}

impl ServerIdentity {
    /// Whether this is another server than `known`. A server that denies its `run_id` is not the
    /// server that reported one. After one denial, the pool asks no server for it any more.
    pub(crate) fn is_other(&self, known: &ServerIdentity) -> bool {
        match (self.role, known.role) {
            (Some(Role::Replica), Some(Role::Replica)) => false,
            (Some(role), Some(known)) if role != known => true,
            _ => self.run_id != known.run_id,
        }
    }

    /// Adds facts that the same server did not report before.
    pub(crate) fn learn(&mut self, said: &ServerIdentity) {
        self.role = self.role.or(said.role);
    }
}
