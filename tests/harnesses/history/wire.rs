//! Replaces some bytes of requests on their way through a proxy.

/// Replaces some bytes by others of the same length: the hash of a script, or a command.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    pub(crate) right: String,
    pub(crate) broken: String,
}

/// Rewrites the requests of one connection, in whatever pieces they arrive.
pub(crate) struct Rewriter {
    swaps: Vec<Swap>,
    /// The end of the received bytes, if a part to replace may have begun there. A whole request
    /// ends with a line break, so no byte is held back that the server waits for.
    held: Vec<u8>,
}

impl Rewriter {
    pub(crate) fn new(swaps: Vec<Swap>) -> Rewriter {
        Rewriter {
            swaps,
            held: Vec::new(),
        }
    }

    /// The bytes that may pass now, from those held back and the new ones.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        for Swap { right, broken } in &self.swaps {
            let mut from = 0;
            while let Some(at) = find(&all[from..], right.as_bytes()) {
                let at = from + at;
                from = at + right.len();
                all[at..from].copy_from_slice(broken.as_bytes());
            }
        }
        let begun = self
            .swaps
            .iter()
            .map(|swap| begun(&all, swap.right.as_bytes()));
        self.held = all.split_off(all.len() - begun.max().unwrap_or(0));
        all
    }
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|at| at == part)
}

/// How many of the last bytes are the beginning of `part`, without being the whole of it.
fn begun(bytes: &[u8], part: &[u8]) -> usize {
    let longest = bytes.len().min(part.len() - 1);
    (1..=longest)
        .rev()
        .find(|length| bytes.ends_with(&part[..*length]))
        .unwrap_or(0)
}
