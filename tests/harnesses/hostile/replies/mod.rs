//! The wrong replies. Each is tried at each point of the protocol, whether or not it makes sense
//! there.
//!
//! One file each: `whole` (another reply), `lengths` (lengths and numbers of elements), `errors`
//! (errors and redirections), `meaning` (valid replies that say what cannot be), `timing`
//! (trickles, floods, and replies that come twice, late or not at all).

mod errors;
mod lengths;
mod meaning;
mod timing;
mod whole;

use crate::{proxy::Asked, steps::Step};

type Make = dyn Fn(&Asked<'_>) -> Vec<Step> + Send + Sync;

/// A wrong reply.
pub(crate) struct Wrong {
    pub(crate) name: String,
    make: Box<Make>,
}

impl Wrong {
    fn steps(
        name: impl Into<String>,
        make: impl Fn(&Asked<'_>) -> Vec<Step> + Send + Sync + 'static,
    ) -> Wrong {
        let (name, make) = (name.into(), Box::new(make));
        Wrong { name, make }
    }

    /// Bytes that are made from the right reply.
    fn made(
        name: impl Into<String>,
        make: impl Fn(&Asked<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Wrong {
        Wrong::steps(name, move |asked| vec![Step::Send(make(asked))])
    }

    /// The same bytes each time.
    fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Wrong {
        let bytes = bytes.into();
        Wrong::made(name, move |_| bytes.clone())
    }

    /// What the client gets.
    pub(crate) fn make(&self, asked: &Asked<'_>) -> Vec<Step> {
        (self.make)(asked)
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Wrong> {
    let kinds = [
        whole::all(),
        lengths::all(),
        errors::all(),
        meaning::all(),
        timing::all(),
    ];
    kinds.into_iter().flatten().collect()
}
