-- Lets a call be tried again at a provider that it has been to: a share of all calls lately, and one in any case.
--
-- KEYS   1 calls; see standing.lua
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds   2 the share, percent
-- reply  1 if it may, else 0
local time = redis.call('TIME')
local ten = math.floor((time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])) / 10000)
local here = redis.call('HMGET', KEYS[1], 'c:' .. ten, 'c:' .. ten - 1, 'r:' .. ten, 'r:' .. ten - 1)
local calls, retries = (here[1] or 0) + (here[2] or 0), (here[3] or 0) + (here[4] or 0)
if retries + 1 > math.max(1, calls * ARGV[2] / 100) then return 0 end
redis.call('HINCRBY', KEYS[1], 'r:' .. ten, 1)
redis.call('EXPIRE', KEYS[1], 60)
return 1
