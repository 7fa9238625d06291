-- raise_floor: raises the floor of a record, and nothing else.
--
-- For a cluster that is migrating the record's slot, where no single step can use all keys.
-- The caller raises the floor first, then ends the lease, and the record after that: see
-- `src/redis/cluster/migrating.rs`.
--
-- KEYS[1]  the floor key
-- ARGV[1]  the new version of the record, 20 digits; '?' if not known
-- ARGV[2]  how long the floor lasts, in milliseconds
--
-- Returns  1  always
--
-- Invariant: as in invalidate.

local version = ARGV[1]
-- pcall: a value of another type is no floor that is known
local floor = redis.pcall('GET', KEYS[1])
if floor and (type(floor) ~= 'string' or #floor ~= 20 or string.find(floor, '%D')) then
  version = '?'
elseif floor and version ~= '?' and floor > version then
  version = floor
end
local life = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], version, 'PX', life)
return 1
