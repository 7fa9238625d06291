-- fill: writes a loaded record and ends the lease, if the lease is still ours.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the token the caller acquired
-- ARGV[2]  the TTL of the record in milliseconds
-- ARGV[3]  with KEYS[3] only: the version, 20 digits; '?' if not known
-- then     field, value, field, value, and so on; none where there is no record
--
-- Returns  1  filled
--          0  refused: the lease lapsed, or a write ended it, or the version is below the
--             floor
--
-- Invariant: a record enters the cache only under the token of a live lease,
-- whole, and with its TTL, in one step. The old value of the
-- data key, of any type, is removed.

-- the TTL is behind the token; pcall: a write guard is no string
local lease = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end

local first_field = 3
if KEYS[3] then
  first_field = 4
  -- A floor that rises ends the lease. So this is a second line of defence, except while a
  -- cluster moves the slot, where the two are separate steps. A record without a version was
  -- read from the primary, as it is if the floor is unknown. pcall: a value of another type
  -- is no floor.
  local floor = redis.pcall('GET', KEYS[3])
  if ARGV[3] ~= '?' and type(floor) == 'string' and #floor == 20 and not string.find(floor, '%D')
    and ARGV[3] < floor then
    redis.call('DEL', KEYS[2])
    return 0
  end
end

redis.call('DEL', KEYS[1], KEYS[2])
-- unpack() is limited by Lua's stack (about 8,000 values), so it is called in steps; an
-- even step keeps each field with its value
local step = 4000
for first = first_field, #ARGV, step do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + step - 1, #ARGV)))
end
-- pcall: if the user may not set a TTL, the record must not stay without one
local expires = redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
if type(expires) == 'table' then
  redis.call('DEL', KEYS[1])
  return expires
end
return 1
