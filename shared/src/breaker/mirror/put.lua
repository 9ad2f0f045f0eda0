-- Puts a decision about a provider here, unless a later one is here. What was seen of it before goes.
--
-- KEYS   1 the provider's breaker; see standing.lua
-- ARGV   1 generation   2 mode   3 state   4 1 where DynamoDB has it
-- reply  nothing if it is what holds now, else the state that does
--
-- Of two decisions of one generation the one that DynamoDB has holds. Mirrored by `supersedes`.
local breaker, generation, is_saved = KEYS[1], tonumber(ARGV[1]), ARGV[4]
local here = redis.call('HMGET', breaker, 'generation', 'state', 'saved', 'next', 'truth', 'first')
if here[1] then
  local known = tonumber(here[1])
  if known == generation and here[2] == ARGV[3] then
    if is_saved == '1' then redis.call('HSET', breaker, 'saved', 1) end
    return ''
  end
  if known > generation or (known == generation and (here[3] == '1' or is_saved == '0')) then return here[2] end
end
redis.call('DEL', breaker)
redis.call('HSET', breaker, 'generation', ARGV[1], 'mode', ARGV[2], 'state', ARGV[3], 'saved', is_saved)
for field, i in pairs({next = 4, truth = 5, first = 6}) do
  if here[i] then redis.call('HSET', breaker, field, here[i]) end
end
redis.call('EXPIRE', breaker, 3600)
return ''
