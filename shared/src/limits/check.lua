-- Charges one call to all its counters, or to none.
--
-- KEYS   [markers]   versions of the records that the caller decided from
--        [carried]   a marker that is only read for the caller: that of the catalogs
--        [counters]  per charge by windows: the window's counter, and for a sliding one the previous window's after it
--        [leases]    per charge of calls in flight: a sorted set of call ids by the time at which their leases expire
--        tally       this minute's tallies: a hash of "<charge> <group>" to calls; charge 0 stands for calls that
--                    passed, charge n for calls that the nth charge refused, or would have but for its mode
--        minutes     the minutes that have tallies, as a sorted set
--        All in one slot; the last two only if something is tallied.
-- ARGV   1 numbers, packed as little-endian doubles, because a further argument costs Redis more than unpacking does:
--            1 the caller's clock, Unix milliseconds   2 offset by which that clock is ahead on purpose, milliseconds
--            3 1 if that clock is to be compared       4 the lease's expiry, Unix milliseconds
--            5 number of markers                       6 number of counted charges
--            7 number of leased charges                8 1 if something is tallied
--            9 number of carried markers, 0 or 1
--            then per marker:          the version that the caller knows
--            then per counted charge:  limit, weight, the counter's time to live in milliseconds, millionths of the
--                                      previous window that still count (0: fixed), 1 if it refuses
--            then per leased charge:   limit, 1 if it refuses
--        2 the call's id
--        3 the group, empty for no tally
--        then per tally of refusals that the caller made from memory: field, calls
-- reply  {1 charged | 0 refused, then per counted charge its count, followed by the previous one for a sliding one, and
--        per leased charge the calls in flight; after charging, or unchanged if refused; then per carried marker its
--        value, or -1}
--        {2, then per marker its value, or -1}: a record is stale, nothing was decided
--        {3, Redis's time}: the caller's clock is off by more than 2 s, nothing was decided
--
-- Invariant: a refused call changes nothing but the tallies. Mirrored by `limits::decide`.
local MOST_SKEW = 2000
local TALLY_KEPT_MINUTES = 180
local LEASES_KEPT = 1000 * 1000

-- Locals are faster to look up than the sandbox's globals.
local KEYS, ARGV, call, tonumber, ceil, floor = KEYS, ARGV, redis.call, tonumber, math.ceil, math.floor

local numbers = {struct.unpack('<' .. string.rep('d', #ARGV[1] / 8), ARGV[1])}
local now, ahead, is_compared, lease_end, markers, counted, leased, is_tallied, carried = unpack(numbers, 1, 9)
local id, group = ARGV[2], ARGV[3]

-- Compare the clocks.
if is_compared == 1 then
  local time = call('TIME')
  local right = time[1] * 1000 + floor(time[2] / 1000) + ahead
  if right - now > MOST_SKEW or now - right > MOST_SKEW then return {3, right} end
end

-- Read all markers and counters at once.
local strings = #KEYS - leased - 2 * is_tallied
local values = strings > 0 and call('MGET', unpack(KEYS, 1, strings)) or {}

-- Compare the markers with the known versions. A marker holds the version doubled, plus one if the record is stopped.
local at = 9
for i = 1, markers do
  local marker = values[i]
  if marker and floor(marker / 2) > numbers[at + i] then
    local stale = {2}
    for j = 1, markers do stale[j + 1] = tonumber(values[j] or -1) end
    return stale
  end
end
at = at + markers

-- Read every charge before writing any. `over` lists the charges beyond their limits.
local reply, over, refused = {1}, nil, false
local key, out = markers + carried, 1
for i = 1, counted do
  key, out = key + 1, out + 1
  local used = tonumber(values[key] or 0)
  reply[out] = used
  if numbers[at + 4] > 0 then
    key, out = key + 1, out + 1
    local previous = tonumber(values[key] or 0)
    reply[out] = previous
    used = used + ceil(previous * numbers[at + 4] / 1000000)
  end
  if used + numbers[at + 2] > numbers[at + 1] then
    over = over or {}
    over[#over + 1] = i
    refused = refused or numbers[at + 5] == 1
  end
  at = at + 5
end
for i = 1, leased do
  local held = call('ZCOUNT', KEYS[strings + i], '(' .. now, '+inf')
  out = out + 1
  reply[out] = held
  if held >= numbers[at + 1] then
    over = over or {}
    over[#over + 1] = counted + i
    refused = refused or numbers[at + 2] == 1
  end
  at = at + 2
end

if carried == 1 then reply[out + 1] = tonumber(values[markers + 1] or -1) end

local function tally(field, calls)
  local hash, minutes = KEYS[#KEYS - 1], KEYS[#KEYS]
  -- If the field is new, the minute may be new too: list it, and drop expired minutes.
  if call('HINCRBY', hash, field, calls) == tonumber(calls) then
    local minute = floor(now / 60000)
    call('PEXPIRE', hash, TALLY_KEPT_MINUTES * 60000)
    call('ZREMRANGEBYSCORE', minutes, '-inf', minute - TALLY_KEPT_MINUTES)
    call('ZADD', minutes, minute, minute)
    call('PEXPIRE', minutes, TALLY_KEPT_MINUTES * 60000)
  end
end
-- Write the tallies that the caller kept, and those of this call's refusals.
for i = 4, #ARGV, 2 do tally(ARGV[i], ARGV[i + 1]) end
if over and group ~= '' then
  for i = 1, #over do tally(over[i] .. ' ' .. group, 1) end
end
if refused then
  reply[1] = 0
  return reply
end

-- Charge the counters, then take the leases.
at, key, out = 9 + markers, markers + carried, 1
for _ = 1, counted do
  key, out = key + 1, out + 1
  reply[out] = call('INCRBY', KEYS[key], numbers[at + 2])
  if not values[key] then call('PEXPIRE', KEYS[key], numbers[at + 3]) end
  if numbers[at + 4] > 0 then key, out = key + 1, out + 1 end
  at = at + 5
end
for i = 1, leased do
  local leases = KEYS[strings + i]
  call('ZREMRANGEBYSCORE', leases, '-inf', now)
  call('ZADD', leases, lease_end, id)
  call('PEXPIRE', leases, LEASES_KEPT)
  out = out + 1
  reply[out] = reply[out] + 1
end
if group ~= '' then tally('0 ' .. group, 1) end
return reply
