-- Lets a probe out: two may be out at a time, and one more for each 15 s since the first, as one may be lost.
--
-- KEYS   1 the provider's breaker; see standing.lua
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds   2 the generation that the caller knows
-- reply  1 if the call may go to the provider, else 0
local PROBES, LOST_AFTER = 2, 15000
local here = redis.call('HMGET', KEYS[1], 'generation', 'mode', 'probing', 'probes', 'results')
if here[1] ~= ARGV[2] or here[2] ~= 'probe' then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
if not here[3] then redis.call('HSET', KEYS[1], 'probing', string.format('%.0f', now)) end
local lost = math.max(0, math.floor((now - (here[3] or now)) / LOST_AFTER))
if tonumber(here[4] or 0) >= tonumber(here[5] or 0) + PROBES + lost then return 0 end
redis.call('HINCRBY', KEYS[1], 'probes', 1)
return 1
