-- Lets a call go to a provider that is not to get all calls, because nobody else can take it.
--
-- KEYS   1 the provider's room; see standing.lua, and room.rs for the rules
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 what for: room, as far as the provider has room; asked, although it asks to be left alone
--        3 for room: a provider that was not asked for so long earns a credit, milliseconds; 1,000 while some are served.
--          for asked: the interval, milliseconds
-- reply  1 if the call may go to the provider, else 0
local RECOVERED, LATELY, LONGEST_UNASKED, ENOUGH = 2, 8, 10000, 2
local room, call, number = KEYS[1], redis.call, tonumber
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + number(ARGV[1])
local held = call('HMGET', room, 'last', 'credits', 'admitted', 'asked')
local every = number(ARGV[3])

-- Where the clock was set back, it is due.
local function earned(at)
  if not at or now < number(at) then return 1 end
  return math.floor(math.min(now - at, LONGEST_UNASKED) / every)
end

local fields
if ARGV[2] == 'asked' then
  local at = number(held[4] or 0)
  if now >= at and now - at < every then return 0 end
  fields = {'asked', string.format('%.0f', now)}
else
  local last = held[1] or ''
  local lately = string.sub(last, -LATELY)
  local bad = string.find(string.reverse(last), '[fr]')
  local good_in_a_row = bad and bad - 1 or #last
  local _, failed = string.gsub(lately, '[fr]', '')
  if not string.find(last, 'r', 1, true) and (good_in_a_row >= RECOVERED or failed * 2 <= #lately) then return 1 end
  if string.find(last, 'g', 1, true) then every = 1000 end
  local credits = number(held[2] or 0)
  if credits < ENOUGH then credits = credits + earned(held[3]) end
  if credits < 1 then return 0 end
  fields = {'credits', credits - 1, 'admitted', string.format('%.0f', now)}
end
call('HSET', room, unpack(fields))
call('EXPIRE', room, 86400)
return 1
