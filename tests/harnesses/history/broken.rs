//! Protocols with one rule broken, to see that the checker finds it.
//!
//! The library is left as it is: the proxies put the hash of a broken script in the place of the
//! right one's, or another command in the place of one. Each broken script is the right one with a
//! few words changed, so that it follows it.

use cache_aside::scripts::{ACQUIRE, FILL, INVALIDATE, RELEASE, UNGUARD};
use clap::ValueEnum;
use redis::{Connection, Script};

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Break {
    /// A fill doesn't look whether its token still stands in the lease
    Fill,
    /// A load is shared by its key: whoever asks while it is under way joins it, also after an
    /// invalidation
    SingleFlight,
    /// The end of a write, its lapse, and an invalidation leave the nonce of a guard as it is
    Nonce,
    /// An update isn't watched: it is done when it comes late, though it has been given up
    Watch,
    /// Near caches are told of other records than those they keep
    Push,
}

/// Some bytes in the place of others, as long: a script's hash, a command.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    pub(crate) right: String,
    pub(crate) broken: String,
}

/// Where a load that is under way is remembered beside its lease, and for how long if its process
/// is lost.
const REMEMBER: &str = "redis.call('SET', KEYS[2] .. ':flying', ARGV[1], 'PX', 1000)\n";
const FORGET: &str = "\
if redis.call('GET', KEYS[2] .. ':flying') == ARGV[1] then
  redis.call('DEL', KEYS[2] .. ':flying')
end
";
const JOIN: &str = "\
local flying = redis.call('GET', KEYS[2] .. ':flying')
if flying and flying ~= ARGV[1] then
  return {'held', flying, redis.call('PTTL', KEYS[2] .. ':flying')}
end
";

impl Break {
    /// Tells the server the broken scripts.
    pub(crate) fn load(self, server: &mut Connection) -> Result<Vec<Swap>, String> {
        if self == Break::Watch {
            // A command that takes the same keys and does nothing with them.
            return Ok(vec![Swap {
                right: "WATCH\r\n".to_owned(),
                broken: "TOUCH\r\n".to_owned(),
            }]);
        }
        if self == Break::Push {
            // In the one request that names a prefix.
            let prefix = |prefix| format!("PREFIX\r\n$8\r\n{prefix}\r\n");
            return Ok(vec![Swap {
                right: prefix("history:"),
                broken: prefix("another:"),
            }]);
        }
        let scripts = self.scripts();
        let swaps = scripts.iter().map(|(right, broken)| {
            Script::new(broken)
                .load(server)
                .map(|broken| Swap {
                    right: Script::new(right).get_hash().to_owned(),
                    broken,
                })
                .map_err(|error| format!("a broken script does not load: {error}"))
        });
        swaps.collect()
    }

    /// The right scripts, and what comes in their place.
    fn scripts(self) -> Vec<(&'static str, String)> {
        match self {
            Break::Fill => vec![(
                FILL,
                changed(
                    FILL,
                    "if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then",
                    "if false then",
                ),
            )],
            Break::SingleFlight => {
                let ask = "if redis.call('SET', KEYS[2]";
                let acquire = changed(ACQUIRE, ask, &format!("{JOIN}{ask}"));
                let acquired = "return {'acquired'}";
                let acquire = changed(&acquire, acquired, &format!("{REMEMBER}{acquired}"));
                vec![
                    (ACQUIRE, acquire),
                    (FILL, format!("{FORGET}{FILL}")),
                    (RELEASE, format!("{FORGET}{RELEASE}")),
                ]
            }
            Break::Nonce => {
                let renewed = "type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[1])) == 'table'";
                let drop = "redis.call('HDEL', KEYS[2], ARGV[1], 'nonce')";
                let keep = "local nonce = redis.call('HGET', KEYS[2], 'nonce')\n";
                let unguard = changed(UNGUARD, drop, &format!("{keep}{drop}"));
                let unguard = changed(&unguard, "'nonce', ARGV[2]", "'nonce', nonce");
                vec![
                    (INVALIDATE, changed(INVALIDATE, renewed, "false")),
                    (UNGUARD, unguard),
                    (ACQUIRE, changed(ACQUIRE, "  nonce = ARGV[1]\n", "")),
                ]
            }
            Break::Watch | Break::Push => Vec::new(),
        }
    }
}

/// Panics where there is nothing to change: then the right script is no longer what it was.
fn changed(script: &str, part: &str, by: &str) -> String {
    assert!(script.contains(part), "no `{part}` in:\n{script}");
    script.replace(part, by)
}
