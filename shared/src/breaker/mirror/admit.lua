-- Lets a call go to a provider that is not to get all calls, because nobody else can take it.
--
-- KEYS   1 the provider's room; see standing.lua, and room.rs for the rules
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 what for: room, as far as the provider has room; asked, although it asks to be left alone
--        3 milliseconds. For room: the time without a call that earns a credit, unless the provider refuses calls; for asked:
--          the interval
-- reply  1 if the call may go to the provider, else 0
local LATELY, LONGEST_UNASKED, ENOUGH = 8, 10000, 2
local room, call, number = KEYS[1], redis.call, tonumber
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + number(ARGV[1])
local held = call('HMGET', room, 'last', 'credits', 'admitted', 'asked')
local every = number(ARGV[3])

local fields
if ARGV[2] == 'asked' then
  local at = number(held[4] or 0)
  if now >= at and now - at < every then return 0 end
  fields = {'asked', string.format('%.0f', now)}
else
  local last = held[1] or ''
  local lately = string.sub(last, -LATELY)
  local _, failed = string.gsub(lately, '[fr]', '')
  if not string.find(last, 'r', 1, true) and (last == '' or string.sub(last, -1) == 'g' or failed * 2 <= #lately) then return 1 end
  local enough = ENOUGH
  if string.find(last, 'r', 1, true) then every, enough = 1000, 1 end
  local credits = number(held[2] or 0)
  local unasked = now - number(held[3] or now + 1)
  if unasked >= LONGEST_UNASKED then credits = math.min(credits, ENOUGH) end
  if credits < enough then
    -- The first call is due, and one where the clock was set back.
    credits = credits + (unasked < 0 and 1 or math.floor(math.min(unasked, LONGEST_UNASKED) / every))
  end
  if credits < 1 then return 0 end
  fields = {'credits', credits - 1, 'admitted', string.format('%.0f', now)}
end
call('HSET', room, unpack(fields))
call('EXPIRE', room, 86400)
return 1
