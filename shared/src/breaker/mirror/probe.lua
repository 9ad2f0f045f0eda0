-- Lets a probe out: two may be out at a time, and one that is not back after 15 s is replaced.
--
-- KEYS   1 the provider's breaker; see standing.lua
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds   2 the generation that the caller knows
-- reply  1 if the call may go to the provider, else 0
local PROBES, LOST_AFTER = 2, 15000
local here = redis.call('HMGET', KEYS[1], 'generation', 'mode', 'since', 'probes', 'results')
if here[1] ~= ARGV[2] or here[2] ~= 'probe' then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local lost = math.max(0, math.floor((now - here[3]) / LOST_AFTER))
if tonumber(here[4] or 0) >= tonumber(here[5] or 0) + PROBES + lost then return 0 end
redis.call('HINCRBY', KEYS[1], 'probes', 1)
return 1
