-- fill: writes a loaded record and ends the lease, if the lease is still ours.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token the caller acquired
-- ARGV[2]  the TTL of the record in milliseconds
-- ARGV[3..] field, value, field, value, and so on; none where there is no record
--
-- Returns  1  filled
--          0  refused: the lease lapsed, or a write ended it
--
-- Invariant: a record enters the cache only under the token of a live lease,
-- whole, and with its TTL, in one step. The old value of the
-- data key, of any type, is removed.

-- the TTL is behind the token; pcall: a write guard is no string
local lease = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end

redis.call('DEL', KEYS[1], KEYS[2])
-- unpack() is limited by Lua's stack (about 8,000 values), so it is called in steps; an
-- even step keeps each field with its value
local step = 4000
for first = 3, #ARGV, step do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + step - 1, #ARGV)))
end
-- pcall: if the user may not set a TTL, the record must not stay without one
local expires = redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
if type(expires) == 'table' then
  redis.call('DEL', KEYS[1])
  return expires
end
return 1
