-- acquire: asks for the lease on one key, after a second read of the record.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the caller's token: random, names this one fill
-- ARGV[2]  the lease TTL in milliseconds
-- ARGV[3]  'recheck': return the record if there is one; 'skip': do not read it
--          (the caller has seen the record and cannot use it); a number of milliseconds:
--          return the record only if it has more time left (the caller has seen one with
--          that much left, and found it too old)
-- ARGV[4]  for a lookup under tags only: the clock, as the caller has read it
-- ARGV[5]  with ARGV[4] only: the newest of the caller's tags, or if it does not know all of
--          them, the clock
-- ARGV[6]  with ARGV[4] only: the newest of the tags that it knows
--
-- Returns  {'record', field, value, ...}      another caller filled it in the meantime
--          {'acquired'}                       the caller may load and fill
--          {'held', token, milliseconds}      another fill is under way
--          {'guarded', nonce}                 a write is under way: load, and do not fill;
--                                             the nonce may be the caller's own token, or
--                                             the token of an older load
-- With KEYS[3], 'acquired' and 'guarded' end with the floor: '' if there is none, 20 digits,
-- or '?' if it is unknown.
--
-- Invariant: the lease key is set only if it held no lease, so only one token at a time
-- may fill. This step removes writers whose place in a guard has lapsed, and with them
-- the nonce under which loads were shared. A token is used in one request only. A
-- caller whose reply was lost must not send it again: the first request may still be on
-- its way, and would set the lease again after an invalidation ended it.
--
-- Invariant: a lease, a back-off and a place in a guard say how long they were given. One
-- that has more time left than that is from before a step back of the server's clock. It
-- is shortened to the time it was given: a holder that lives renews it sooner.
--
-- Invariant: the lease of a load under tags contains the clock. A caller under tags gets no
-- record, and waits for no load, from before the latest invalidation of one of its tags. It
-- replaces such a lease, so that load cannot fill. If it only cannot know whether the load is
-- from before an invalidation, it loads beside it and leaves the lease: the entry will be
-- judged by the tags that it lists. A caller without tags waits for a load under tags without
-- sharing it: it gets no token.

-- whether a load with this clock has seen all that was invalidated up to this value
local function is_new(clock, newest)
  return clock and #clock == #newest
    and string.sub(clock, 1, 33) == string.sub(newest, 1, 33)
    and string.sub(clock, 34) >= string.sub(newest, 34)
end

if ARGV[3] == 'recheck' or ARGV[3] ~= 'skip' and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then
  -- pcall: a key of another type counts as no record, and the fill replaces it
  local record = redis.pcall('HGETALL', KEYS[1])
  local is_good = not record.err and #record > 0
  if is_good and ARGV[4] then
    is_good = false
    for i = 1, #record, 2 do
      is_good = is_good or record[i] == '__cache_aside_clock' and is_new(record[i + 1], ARGV[5])
    end
  end
  if is_good then
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

local holder = redis.pcall('GET', KEYS[2])
if type(holder) == 'string' then
  local token, given = string.match(holder, '^(.*):(%d+)$')
  -- of a load under tags, the clock follows the token
  local clock = nil
  local is_tagged = token and string.find(token, '^:%x+:%d+$', #ARGV[1] + 1)
  if is_tagged and ARGV[4] then
    token, clock = string.sub(token, 1, #ARGV[1]), string.sub(token, #ARGV[1] + 2)
  end
  local is_old = ARGV[4] and token and #token == #ARGV[1] and not is_new(clock, ARGV[5])
  if token == 'back-off' or is_old and not is_new(clock, ARGV[6]) then
    -- A refresh has failed, but this caller has no record to fall back on. Or the load is from
    -- before an invalidation of a tag.
    redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
    return {'acquired', floor}
  end
  if not token or #token ~= #ARGV[1] and not is_tagged then
    -- A lock of another program, perhaps without a TTL. It must not keep the record out of
    -- the cache for ever.
    token, given = holder, ARGV[2]
  end
  given = tonumber(given)
  local left = redis.call('PTTL', KEYS[2])
  if left < 0 or left > given then
    left = given
    redis.call('PEXPIRE', KEYS[2], left)
  end
  if is_old then
    return {'guarded', token, floor}
  end
  return {'held', token, left}
end

-- pcall: a value of another type has no fields
local guard = redis.pcall('HGETALL', KEYS[2])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local nonce, last, died, shortened = nil, 0, false, false
for i = 1, #guard, 2 do
  if guard[i] == 'nonce' then
    nonce = guard[i + 1]
  else
    local lapse, given = string.match(guard[i + 1], '^(%d+):(%d+)$')
    lapse, given = tonumber(lapse) or 0, tonumber(given) or 0
    if lapse > now + given then
      lapse, shortened = now + given, true
      -- a full server cannot set the field, but the key expires in time
      redis.pcall('HSET', KEYS[2], guard[i], string.format('%.0f:%.0f', lapse, given))
    end
    if lapse > now then
      last = math.max(last, lapse)
    else
      died = true
      redis.call('HDEL', KEYS[2], guard[i])
    end
  end
end
local lives = last > 0
if died then
  -- the writer died, perhaps after its commit, which a load under the nonce may have
  -- missed; so no reader shares such a load from here on (a full server cannot set the
  -- field)
  nonce = ARGV[1]
  lives = lives and type(redis.pcall('HSET', KEYS[2], 'nonce', nonce)) ~= 'table'
end
-- a guard has a TTL, and a nonce as long as a token; anything else belongs to another
-- program, and would keep the record out of the cache for ever
local left = redis.call('PTTL', KEYS[2])
if nonce and #nonce == #ARGV[1] and lives and left >= 0 then
  -- never later than before
  if shortened and last - now < left then
    redis.call('PEXPIRE', KEYS[2], string.format('%.0f', last - now))
  end
  return {'guarded', nonce, floor}
end

-- no lease, and no guard with a living writer: the value is of no use
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
return {'acquired', floor}
