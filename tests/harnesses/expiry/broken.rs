//! A store that breaks one rule of the protocol, to show that the checks find it.

use std::{sync::Arc, time::Duration};

use cache_aside::store::{Failure, Floor, Keys, Refresh, Store, Token};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::delegate::delegate;

/// The broken rule. It says that one of all callers that ask to reload a record may do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Rule {
    /// All may
    All,
    /// Nobody may
    Nobody,
}

pub(crate) struct Broken {
    pub(crate) within: Arc<dyn Store>,
    pub(crate) rule: Rule,
}

impl Store for Broken {
    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        match self.rule {
            Rule::All => {
                let answer = self.within.refresh(keys, token, lease_ttl, left)?;
                Ok(match answer {
                    Refresh::Taken => Refresh::Acquired(Floor::None),
                    right => right,
                })
            }
            Rule::Nobody => Ok(Refresh::Taken),
        }
    }

    delegate! { within: read read_with_ttl acquire fill release back_off renew invalidate expire guard unguard update ttl ping }
}
