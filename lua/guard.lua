-- guard: begins a write: ends the record and every load of it in progress, and lets
-- no caller fill before the write has ended or its writer has died.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the writer's token: random, names this one write
-- ARGV[2]  the guard's nonce: random, never used before
-- ARGV[3]  the TTL of this writer's place in the guard, in milliseconds
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: the guard is a hash: `nonce`, and for each writer `instant:TTL`. At the
-- instant (in milliseconds since 1970, by this server's clock) its place lapses. The TTL
-- is the time that the place was given: see acquire. The key lives as long as the last
-- place. Readers share loads under the nonce.

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
return was_there
