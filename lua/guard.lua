-- guard: begins a write: ends the record and every load of it in progress, and lets
-- no caller fill before the write has ended or its writer has died.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the writer's token: random, names this one write
-- ARGV[2]  the guard's nonce: random, never used before
-- ARGV[3]  the TTL of this writer's place in the guard, in milliseconds
-- ARGV[4]  with KEYS[3] only: how long a floor lasts, in milliseconds
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: the guard is a hash: `nonce`, and for each writer `instant:TTL`. At the
-- instant (in milliseconds since 1970, by this server's clock) its place lapses. The TTL
-- is the time that the place was given: see acquire. The key lives as long as the last
-- place. Readers share loads under the nonce.
--
-- Invariant: the floor is unknown for as long as the place lasts, and for the life of a
-- floor beyond that. So if the writer dies after its commit, no replica is read that may
-- lack the commit. If there was no floor, it names the writer: `?token`. Then `unguard` and
-- `write_through` of that writer may replace it by a known one, because nothing else made
-- it unknown.

local was_there = redis.call('DEL', KEYS[1])
-- pcall: a lease is no hash, and has no such field
if redis.pcall('HEXISTS', KEYS[2], 'nonce') ~= 1 then
  redis.call('DEL', KEYS[2])
end

local now = redis.call('TIME')
local lapse = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[2], 'nonce', ARGV[2], ARGV[1], string.format('%.0f:%s', lapse, ARGV[3]))
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
if KEYS[3] then
  -- pcall: a value of another type is no floor that is known
  local floor = redis.pcall('GET', KEYS[3])
  local own = '?' .. ARGV[1]
  if floor and floor ~= own then
    own = '?'
  end
  local life = math.max(ARGV[3] + ARGV[4], redis.call('PTTL', KEYS[3]))
  redis.call('SET', KEYS[3], own, 'PX', life)
end
return was_there
