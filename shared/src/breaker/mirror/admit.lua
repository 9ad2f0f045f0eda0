-- Lets a call go to a provider that is not to get all calls, because nobody else can take it.
--
-- KEYS   1 the provider's room; see standing.lua, and room.rs for the rules
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 what for: room, as far as the provider has room; asked, although it asks to be left alone
--        3 after so long without a call one is let through in any case, milliseconds; 1,000 while some are served
-- reply  1 if the call may go to the provider, else 0
local RECOVERED, LATELY = 2, 8
local room, call, number = KEYS[1], redis.call, tonumber
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + number(ARGV[1])
local held = call('HMGET', room, 'last', 'credits', 'admitted', 'asked')
local field, at, has_credit, every = 'admitted', held[3], false, number(ARGV[3])
if ARGV[2] == 'asked' then
  field, at = 'asked', held[4]
else
  local last, credits = held[1] or '', number(held[2] or 0)
  local lately = string.sub(last, -LATELY)
  local bad = string.find(string.reverse(last), '[fr]')
  local good_in_a_row = bad and bad - 1 or #last
  local _, failed = string.gsub(lately, '[fr]', '')
  if not string.find(last, 'r', 1, true) and (good_in_a_row >= RECOVERED or failed * 2 <= #lately) then return 1 end
  if string.find(last, 'g', 1, true) then every = 1000 end
  has_credit = credits >= 1
  if has_credit then call('HSET', room, 'credits', credits - 1) end
end
at = number(at or 0)
-- Where the clock was set back, it is due.
if not has_credit and now - at < every and at <= now then return 0 end
call('HSET', room, field, string.format('%.0f', now))
call('EXPIRE', room, 86400)
return 1
