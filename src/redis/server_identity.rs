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

/// What tells one server from another. `None`: it didn't say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerIdentity {
    pub(crate) role: Option<Role>,
    /// Another one each time that a server starts.
    pub(crate) run_id: Option<String>,
}

impl ServerIdentity {
    /// Whether that is another server, for all that both said.
    pub(crate) fn is_other(&self, known: &ServerIdentity) -> bool {
        match (self.role, known.role) {
            (Some(Role::Replica), Some(Role::Replica)) => false,
            (Some(role), Some(known)) if role != known => true,
            _ => match (&self.run_id, &known.run_id) {
                (Some(run_id), Some(known)) => run_id != known,
                _ => false,
            },
        }
    }

    /// Adds what the same server did not say before.
    pub(crate) fn learn(&mut self, said: ServerIdentity) {
        self.role = self.role.or(said.role);
        self.run_id = self.run_id.take().or(said.run_id);
    }
}
