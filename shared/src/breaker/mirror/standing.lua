-- Tells where a provider stands, and takes in what became of a call to it.
--
-- KEYS   1 the provider's breaker, a hash:
--            generation, mode, state, saved      the decision, as put.lua writes it
--            next                                when it may be evaluated again, Unix milliseconds
--            truth                               when DynamoDB is to be asked again, Unix milliseconds
--            probes, probing, results            probes let out, and when the first was; what came back since the decision
--            s:<Unix seconds>                    "good bad throttled late on-time" of that second
--            environments, troubled, e:<id>, t:<id>   how many saw results, how many bad ones, at most 16; who, and in which
--                                                second last
--            retry, spent                        what the provider said, Unix milliseconds
--            first                               how long the first content lately took, milliseconds
--        2 calls, a hash: c:<ten seconds>, r:<ten seconds> to calls begun, and retries made, to whatever provider
--        3 latencies of calls of one class, a hash: <class of latency> to calls; all; late, the time at which 19 of 20
--          were back, milliseconds
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 1 where a call begins that is to be counted
--        3 the generation that the report is about, or -1 for no report
--        4 the reporting environment
--        5 good  6 bad  7 throttled  8 late  9 on time: 0 or 1 each
--        10 retry after  11 spent until: Unix milliseconds, or 0
--        12 the latency, milliseconds, or -1   13 1 where it is that of a first content
--        14 1 where a probe came to nothing that says anything: another one may go in its place
-- reply  {now, generation or -1, state, 1 if saved, calls in 1,000 s, late after milliseconds or 0, first content lately
--        or 0, 1 if DynamoDB is to be asked, 1 if the caller is to evaluate, environments, troubled, retry after, spent
--        until, then second and counts in turn, in any order}; what follows the ninth is there only where the caller is to
--        evaluate
--
-- A report about another generation than the present one is not counted. What is older than 300 s is forgotten. Asking
-- DynamoDB is for reports, which nobody waits for; a call that begins does it only where none came for a second.
local EVERY, SOONER, TRUTH_EVERY, TRUTH_SOONER = 1000, 800, 5000, 1000
local KEPT_SECONDS, ENVIRONMENTS = 300, 16
local BREAKER_TTL, CALLS_TTL, LATENCY_TTL = 3600, 60, 7 * 86400
local SHORTEST, GROWTH, CLASSES, MEMORY, FEWEST = 50, 1.1, 96, 2000, 50

local breaker, calls, latencies = KEYS[1], KEYS[2], KEYS[3]
local call, number, floor = redis.call, tonumber, math.floor

local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000) + number(ARGV[1])
local second, ten = floor(now / 1000), floor(now / 10000)

-- How many calls begin.
if ARGV[2] == '1' and call('HINCRBY', calls, 'c:' .. ten, 1) == 1 then
  for _, field in ipairs(call('HKEYS', calls)) do
    local at = number(string.sub(field, 3))
    if at ~= ten and at ~= ten - 1 then call('HDEL', calls, field) end
  end
  call('EXPIRE', calls, CALLS_TTL)
end
local counted = call('HMGET', calls, 'c:' .. ten, 'c:' .. ten - 1)
local rate = ((counted[1] or 0) + (counted[2] or 0)) * 1000000 / (10000 + now % 10000)

local known = call('HMGET', breaker, 'generation', 'state', 'saved', 'next', 'truth', 'mode', 'first')
local generation = number(known[1] or -1)
local is_trouble = false

if generation >= 0 and number(ARGV[3]) == generation then
  local id, field, seen = ARGV[4], 's:' .. second, 0
  for j = 5, 9 do seen = seen + ARGV[j] end
  if seen > 0 then
    local counts, i = {0, 0, 0, 0, 0}, 1
    for count in string.gmatch(call('HGET', breaker, field) or '', '%d+') do
      counts[i], i = number(count), i + 1
    end
    for j = 1, 5 do counts[j] = counts[j] + number(ARGV[4 + j]) end
    call('HSET', breaker, field, table.concat(counts, ' '))
    local function saw(set, count)
      local there = call('HMGET', breaker, set .. id, count)
      if not there[1] and number(there[2] or 0) >= ENVIRONMENTS then return end
      if not there[1] then call('HINCRBY', breaker, count, 1) end
      call('HSET', breaker, set .. id, second)
    end
    is_trouble = ARGV[6] + ARGV[7] + ARGV[8] > 0
    saw('e:', 'environments')
    if is_trouble then saw('t:', 'troubled') end
  end
  local results = ARGV[5] + ARGV[6] + ARGV[7] + ARGV[14]
  if results > 0 then call('HINCRBY', breaker, 'results', results) end
  for field, at in pairs({retry = number(ARGV[10]), spent = number(ARGV[11])}) do
    if at > number(call('HGET', breaker, field) or 0) then call('HSET', breaker, field, string.format('%.0f', at)) end
  end
  local latency = number(ARGV[12])
  if latency >= 0 and ARGV[13] == '1' then
    known[7] = floor(known[7] and known[7] * 0.9 + latency * 0.1 or latency)
    call('HSET', breaker, 'first', known[7])
  end
  -- What is usual is learnt in health, and from probes: who became slower for good is taken for what it is, in time.
  if latency >= 0 and (known[6] == 'closed' or known[6] == 'probe') then
    local class = floor(math.log(math.max(latency, SHORTEST) / SHORTEST) / math.log(GROWTH))
    call('HINCRBY', latencies, math.min(class, CLASSES - 1), 1)
    local all = call('HINCRBY', latencies, 'all', 1)
    if all >= FEWEST and (all % 16 == 0 or all == FEWEST or all > MEMORY) then
      local by, halve = {}, all > MEMORY
      for class = 0, CLASSES - 1 do by[class + 1] = class end
      by = call('HMGET', latencies, unpack(by))
      local left, late, kept = all * 0.95, nil, 0
      for class = 0, CLASSES - 1 do
        local many = number(by[class + 1] or 0)
        left = left - many
        if left <= 0 and not late then late = floor(SHORTEST * GROWTH ^ (class + 1)) end
        if halve and many > 0 then
          many = floor(many / 2)
          call('HSET', latencies, class, many)
        end
        kept = kept + many
      end
      call('HSET', latencies, 'late', late or 0)
      if halve then call('HSET', latencies, 'all', kept) end
    end
    call('EXPIRE', latencies, LATENCY_TTL)
  end
end

-- Whose turn has come; where the clock was set back, it is everybody's.
local function is_due(at, sooner, every)
  at = number(at or 0)
  return at <= now + sooner or at > now + every
end
local asks_truth, evaluates = 0, 0
if generation < 0 then
  asks_truth = 1
else
  if is_due(known[5], ARGV[3] ~= '-1' and TRUTH_SOONER or 0, TRUTH_EVERY) then
    asks_truth = 1
    call('HSET', breaker, 'truth', string.format('%.0f', now + TRUTH_EVERY))
  end
  if is_due(known[4], is_trouble and SOONER or 0, EVERY) then
    evaluates = 1
    call('HSET', breaker, 'next', string.format('%.0f', now + EVERY))
    call('EXPIRE', breaker, BREAKER_TTL)
  end
end

local late = call('HGET', latencies, 'late')
local reply = {now, generation, known[2] or '', number(known[3] or 0), floor(rate), number(late or 0),
  number(known[7] or 0), asks_truth, evaluates}
if evaluates == 1 then
  local all, last = call('HGETALL', breaker), #reply + 4
  local fields, gone, sets = {}, {}, {['e:'] = 'environments', ['t:'] = 'troubled'}
  for i = 1, #all, 2 do
    local field, value = all[i], all[i + 1]
    local kind = string.sub(field, 1, 2)
    local at = kind == 's:' and number(string.sub(field, 3)) or sets[kind] and number(value)
    if not at then
      fields[field] = value
    elseif at <= second - KEPT_SECONDS or at > second then
      gone[#gone + 1] = field
      if sets[kind] then gone[kind] = (gone[kind] or 0) + 1 end
    elseif kind == 's:' then
      reply[last + 1], reply[last + 2], last = at, value, last + 2
    end
  end
  if #gone > 0 then call('HDEL', breaker, unpack(gone)) end
  for kind, count in pairs(sets) do
    if gone[kind] then fields[count] = call('HINCRBY', breaker, count, -gone[kind]) end
  end
  for i, field in ipairs({'environments', 'troubled', 'retry', 'spent'}) do
    reply[9 + i] = number(fields[field] or 0)
  end
end
return reply
