-- Refunds the charges by windows of one call.
--
-- KEYS   [counters]  the windows' counters, n of them
--        [refunds]   for each of them, the count of what was refunded
--        tally       the tallies of the minute in which the call was charged; see check.lua
-- ARGV   for each counter: weight, limit
--        then the field of the tally that counted the call, empty for none
-- reply  the number of counters lowered
--
-- All or nothing: nothing is refunded if one window would refund more than its limit, so that endless retries are not
-- free. No counter falls below zero. A counter that has expired is left out.
local call, number = redis.call, tonumber
local n, backs = (#KEYS - 1) / 2, {}
-- Read all counters before writing any.
for i = 1, n do
  local values = call('MGET', KEYS[i], KEYS[n + i])
  backs[i] = math.min(number(ARGV[2 * i - 1]), number(values[1] or 0))
  if backs[i] > 0 and number(values[2] or 0) + backs[i] > number(ARGV[2 * i]) then return 0 end
end
-- Lower the counters. A refund count expires with its counter.
local lowered = 0
for i, back in ipairs(backs) do
  if back > 0 then
    call('DECRBY', KEYS[i], back)
    call('INCRBY', KEYS[n + i], back)
    call('PEXPIRE', KEYS[n + i], math.max(1, call('PTTL', KEYS[i])))
    lowered = lowered + 1
  end
end
local tally, field = KEYS[#KEYS], ARGV[#ARGV]
-- Lower the tally, unless it was folded into the statistics already.
if lowered > 0 and field ~= '' and number(call('HGET', tally, field) or 0) > 0 then call('HINCRBY', tally, field, -1) end
return lowered
