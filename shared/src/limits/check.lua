-- Charges one call to all its counters, or to none.
--
-- KEYS   [markers]   versions of the records that the caller decided from
--        [counters]  per charge that counts by windows: the window's counter, and for a sliding one the previous
--                    window's after it
--        [leases]    per charge that counts calls in flight: a sorted set of lease ids by their end
--        tally       this minute's tallies: a hash of "<charge> <group>" to calls; charge 0 stands for a call that passed,
--                    charge n for one that the nth charge refused, or would have
--        minutes     the minutes that have tallies, as a sorted set
--        All in one slot.
-- ARGV   1 the caller's clock, Unix milliseconds    2 how far that clock is set ahead on purpose, milliseconds
--        3 the lease's id                            4 the lease's end, Unix milliseconds
--        5 the group, empty for no tally             6 number of markers
--        7 number of counted charges                 8 number of leased charges
--        then per marker:          the version that the caller knows
--        then per counted charge:  limit, weight, milliseconds until the counter may be forgotten, millionths of the
--                                  previous window that still count (0: fixed), 1 if it refuses
--        then per leased charge:   limit, 1 if it refuses
--        then per tally that the caller kept: field, calls
-- reply  {1 charged | 0 refused, then per counted charge its count, followed by the previous one for a sliding one, and
--        per leased charge the calls in flight; after charging, or as it stands when refused}
--        {2, then per marker its value, or -1}: a record is stale, nothing was decided
--        {3, the right time}: the caller's clock is off by more than 2 s, nothing was decided
--
-- A refused call moves nothing but the tally of refusals. Mirrored by `limits::decide`.
local MOST_SKEW = 2000
local TALLY_KEPT = 3 * 3600 * 1000

local now = tonumber(ARGV[1])
local time = redis.call('TIME')
local right = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
if math.abs(right - now) > MOST_SKEW then return {3, right} end

local group, markers, counted, leased = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local strings = #KEYS - leased - 2
local values = strings > 0 and redis.call('MGET', unpack(KEYS, 1, strings)) or {}

-- A marker holds a version, doubled, plus one where the record was stopped.
local arg = 8
for i = 1, markers do
  if values[i] and math.floor(values[i] / 2) > tonumber(ARGV[arg + i]) then
    local stale = {2}
    for j = 1, markers do stale[j + 1] = tonumber(values[j] or -1) end
    return stale
  end
end
arg = arg + markers

-- Read every charge before writing any. `over` lists the charges beyond their limits.
local reply, over, refused = {1}, {}, false
local key = markers
for i = 1, counted do
  local at = arg + (i - 1) * 5
  key = key + 1
  local count = tonumber(values[key] or 0)
  local used = count
  reply[#reply + 1] = count
  if ARGV[at + 4] ~= '0' then
    key = key + 1
    local previous = tonumber(values[key] or 0)
    used = used + math.ceil(previous * ARGV[at + 4] / 1000000)
    reply[#reply + 1] = previous
  end
  if used + ARGV[at + 2] > tonumber(ARGV[at + 1]) then
    over[#over + 1] = i
    refused = refused or ARGV[at + 5] == '1'
  end
end
arg = arg + counted * 5
for i = 1, leased do
  local at = arg + (i - 1) * 2
  local held = redis.call('ZCOUNT', KEYS[strings + i], '(' .. ARGV[1], '+inf')
  reply[#reply + 1] = held
  if held + 1 > tonumber(ARGV[at + 1]) then
    over[#over + 1] = counted + i
    refused = refused or ARGV[at + 2] == '1'
  end
end
arg = arg + leased * 2

local function tally(field, calls)
  local hash, minutes = KEYS[#KEYS - 1], KEYS[#KEYS]
  if redis.call('HINCRBY', hash, field, calls) == tonumber(calls) then
    local minute = string.format('%d', math.floor(now / 60000))
    redis.call('PEXPIRE', hash, TALLY_KEPT)
    redis.call('ZADD', minutes, minute, minute)
    redis.call('PEXPIRE', minutes, TALLY_KEPT)
  end
end
for i = arg + 1, #ARGV, 2 do tally(ARGV[i], ARGV[i + 1]) end
if group ~= '' then
  for _, charge in ipairs(over) do tally(charge .. ' ' .. group, 1) end
end
if refused then
  reply[1] = 0
  return reply
end

-- Charge.
local out = 1
key, arg = markers, 8 + markers
for i = 1, counted do
  local at = arg + (i - 1) * 5
  key, out = key + 1, out + 1
  local weight = tonumber(ARGV[at + 2])
  reply[out] = redis.call('INCRBY', KEYS[key], weight)
  if reply[out] == weight then redis.call('PEXPIRE', KEYS[key], ARGV[at + 3]) end
  if ARGV[at + 4] ~= '0' then key, out = key + 1, out + 1 end
end
for i = 1, leased do
  local leases = KEYS[strings + i]
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', ARGV[1])
  redis.call('ZADD', leases, ARGV[4], ARGV[3])
  redis.call('PEXPIRE', leases, ARGV[4] - now + 60000)
  out = out + 1
  reply[out] = reply[out] + 1
end
if group ~= '' then tally('0 ' .. group, 1) end
return reply
