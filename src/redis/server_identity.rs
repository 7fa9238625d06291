//! What tells one server from another.

/// As a server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Replica,
}

impl Role {
    /// By the names that `HELLO`, `INFO` and `ROLE` have for it.
    pub(crate) fn named(name: &str) -> Option<Role> {
        match name {
            "master" => Some(Role::Master),
            "replica" | "slave" => Some(Role::Replica),
            _ => None,
        }
    }
}

/// What tells one server from another. `None`: it denies that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerIdentity {
    pub(crate) role: Option<Role>,
    /// Another one each time that a server starts.
    pub(crate) run_id: Option<String>,
}

impl ServerIdentity {
    /// Whether that is another server. One that denies its `run_id` is another than one that
    /// reports it. Where one denies it, the pool asks no server for it any more.
    pub(crate) fn is_other(&self, known: &ServerIdentity) -> bool {
        match (self.role, known.role) {
            (Some(Role::Replica), Some(Role::Replica)) => false,
            (Some(role), Some(known)) if role != known => true,
            _ => self.run_id != known.run_id,
        }
    }

    /// Adds what the same server did not say before.
    pub(crate) fn learn(&mut self, said: &ServerIdentity) {
        self.role = self.role.or(said.role);
    }
}
