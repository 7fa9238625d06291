-- refresh: asks for the lease of a record that is cached, in order to reload it.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the caller's token: random, names this one fill
-- ARGV[2]  the lease TTL in milliseconds
-- ARGV[3]  the record's remaining TTL in milliseconds, when the caller read it
-- ARGV[4]  for a lookup under tags only: the clock, as the caller has read it
--
-- Returns  {'record', field, value, ...}   another caller has filled it since
--          {'acquired'}                    the caller may load and fill; with KEYS[3], the
--                                          floor follows: see acquire
--          {'taken'}                       another caller refreshes it, or a write is under way,
--                                          or the latest refresh failed a moment ago
--
-- Invariant: as in acquire: the lease key is set only if it was absent, a token is used
-- in one request only, and what has more time left than it was given is shortened. No
-- caller waits for a refresh, so a guard is not read. The caller has a record, so it replaces
-- no lease, whatever its clock is. It must look at the clock of a record that it gets.

local left = redis.call('PTTL', KEYS[1])
-- pcall: a key of another type counts as no record, and the fill replaces it
if left == -1 or left > tonumber(ARGV[3]) then
  local record = redis.pcall('HGETALL', KEYS[1])
  if not record.err then
    table.insert(record, 1, 'record')
    return record
  end
end

-- the floor; nil without KEYS[3], so that the replies end without it
local floor = nil
if KEYS[3] then
  -- pcall: a value of another type says nothing
  floor = redis.pcall('GET', KEYS[3]) or ''
  if floor ~= '' and (type(floor) ~= 'string' or #floor ~= 20 or string.find(floor, '%D')) then
    floor = '?'
  end
end

local lease = ARGV[1] .. ':' .. ARGV[2]
if ARGV[4] then
  lease = ARGV[1] .. ':' .. ARGV[4] .. ':' .. ARGV[2]
end
if redis.call('SET', KEYS[2], lease, 'NX', 'PX', ARGV[2]) then
  return {'acquired', floor}
end

-- pcall: a guard is no string
local holder = redis.pcall('GET', KEYS[2])
if type(holder) == 'string' then
  local token, given = string.match(holder, '^(.*):(%d+)$')
  -- of a load under tags, the clock follows the token
  local is_tagged = token and string.find(token, '^:%x+:%d+$', #ARGV[1] + 1)
  if token ~= 'back-off' and (not token or #token ~= #ARGV[1]) and not is_tagged then
    given = ARGV[2]
  end
  given = tonumber(given)
  left = redis.call('PTTL', KEYS[2])
  if left < 0 or left > given then
    redis.call('PEXPIRE', KEYS[2], given)
  end
end
return {'taken'}
