//! Protocols that break one rule, to show that the checker finds it.
//!
//! The library is not changed. The proxies replace the hash of a script by that of a broken script,
//! or a command by another. Each broken script is made from the right one by a few changes, so it
//! follows later changes of the right one.

use cache_aside::scripts::{
    ACQUIRE, FILL, GUARD, INVALIDATE, INVALIDATE_TAGS, READ_TAGS, REFRESH, RELEASE, UNGUARD,
};
use clap::ValueEnum;
use redis::{Connection, Script};

use crate::wire::Swap;

/// The rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Break {
    /// A fill does not check whether the lease still holds its token
    Fill,
    /// A load is shared by its key: every caller that asks during the load joins it, even after an
    /// invalidation
    SingleFlight,
    /// The end of a write, its lapse, and an invalidation do not change the nonce of a guard
    Nonce,
    /// An update is not watched: if it arrives late, it is done although its caller has given up
    Watch,
    /// A lease with more time left than it was given is not shortened
    Clock,
    /// Floors are forgotten, and loaders read a replica that lags
    Floor,
    /// `write_through` caches its record whatever the nonce of its guard
    Through,
    /// A unit of work sets no guards, and writers are killed after their commit
    Unit,
    /// A lookup under tags waits for a load without looking at its clock
    TagJoin,
    /// A tag that is missing counts as one that was never invalidated
    TagMissing,
    /// A clock that is missing starts from zero, in the same epoch
    TagEpoch,
    /// Near caches get the changes of other records than those they keep
    Push,
}

/// The lines that record a load under way in a key beside its lease. If its process is lost, the
/// key expires.
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
    /// Loads the broken scripts into the server.
    pub(crate) fn load(self, server: &mut Connection) -> Result<Vec<Swap>, String> {
        if self == Break::Watch {
            // A command that takes the same keys and has no effect on them.
            return Ok(vec![Swap {
                right: "WATCH\r\n".to_owned(),
                broken: "TOUCH\r\n".to_owned(),
            }]);
        }
        if self == Break::Push {
            // In the only request that names a prefix.
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

    /// The right scripts, each with its replacement.
    fn scripts(self) -> Vec<(&'static str, String)> {
        match self {
            Break::Fill => vec![(
                FILL,
                changed(
                    FILL,
                    "if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then",
                    "if false then",
                ),
            )],
            Break::SingleFlight => {
                let ask = "if redis.call('SET', KEYS[2]";
                let acquire = changed(ACQUIRE, ask, &format!("{JOIN}{ask}"));
                let acquired = "return {'acquired', floor}";
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
            Break::Clock => vec![(
                ACQUIRE,
                changed(ACQUIRE, "left < 0 or left > given", "left < 0"),
            )],
            Break::Floor => vec![
                (
                    ACQUIRE,
                    changed(ACQUIRE, "redis.pcall('GET', KEYS[3]) or ''", "''"),
                ),
                (
                    REFRESH,
                    changed(REFRESH, "redis.pcall('GET', KEYS[3]) or ''", "''"),
                ),
                (FILL, changed(FILL, "redis.pcall('GET', KEYS[3])", "nil")),
            ],
            Break::Through => vec![(
                UNGUARD,
                changed(
                    UNGUARD,
                    "is_alone = #guard == 4",
                    "is_alone = true or #guard == 4",
                ),
            )],
            Break::TagJoin => vec![(
                ACQUIRE,
                changed(ACQUIRE, "not is_new(clock, ARGV[5])", "false"),
            )],
            Break::TagMissing => {
                let first = "tag = string.sub(clock, 1, 33) .. string.rep('0', 20)";
                vec![(READ_TAGS, changed(READ_TAGS, "tag = clock", first))]
            }
            Break::TagEpoch => {
                let begin = "ARGV[1] .. history .. ':'";
                let again = "string.rep('0', 16) .. history .. ':'";
                vec![
                    (READ_TAGS, changed(READ_TAGS, begin, again)),
                    (INVALIDATE_TAGS, changed(INVALIDATE_TAGS, begin, again)),
                ]
            }
            Break::Unit => vec![(GUARD, "return 0".to_owned())],
            Break::Watch | Break::Push => Vec::new(),
        }
    }
}

/// Panics if there is nothing to change: the right script has changed.
fn changed(script: &str, part: &str, by: &str) -> String {
    assert!(script.contains(part), "no `{part}` in:\n{script}");
    script.replace(part, by)
}
