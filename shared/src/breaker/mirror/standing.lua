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
--            a1, a1at, a2, a2at                  the account that got a result last and in which second, and the last other one;
--                                                b for bad and throttled ones, l for late ones
--            bad_since                           the second of the first bad result since the decision
--            retry, spent                        what the provider said, Unix milliseconds
--            first                               how long the first content lately took, milliseconds
--        2 calls, a hash: c:<ten seconds>, r:<ten seconds> to calls begun, and retries made, to whatever provider
--        3 latencies of calls of one class, a hash: <class of latency> to calls; all; late, the time at which 19 of 20
--          were back, milliseconds
--        4 the provider's room, a hash that outlives decisions; see room.rs:
--            last                                the last answers, oldest first: g served, f failed, r refused
--            credits, admitted                   as admit.lua uses them; when a credit let a call through last
--            spoilers                            the accounts that got bad answers and that no good answer cleared, each
--                                                between two line feeds; 'many' for more than three
--            by, at, by2, at2                    the account that was served last and when, and the last other one
--            retry, retry1, retry2               until when the provider asks to be left alone, Unix milliseconds; the
--                                                first two accounts that were told so; all gone once it serves a call
--            other                               an account that was not told so was answered since
--            asked                               when it was last asked all the same, Unix milliseconds
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 1 where a call begins that is to be counted
--        3 the generation that the report is about, or -1 for no report
--        4 the account whose call it is; empty where that is not known
--        5 the reporting environment
--        6 good  7 bad  8 throttled  9 late  10 on time: 0 or 1 each
--        11 retry after  12 spent until: Unix milliseconds, or 0
--        13 the latency, milliseconds, or -1   14 1 where it is that of a first content
--        15 1 where a probe came to nothing that says anything: another one may go in its place
--        16 the letter of the answer, as in `last`; empty where there is none
--        17 the rule that let the call through: share, probe, room
-- reply  {now, generation or -1, state, 1 if saved, calls in 1,000 s, late after milliseconds or 0, first content lately
--        or 0, 1 if DynamoDB is to be asked, 1 if the caller is to evaluate, 1 if it has room for all calls of this account, until when it
--        asks to be left alone or 0, milliseconds since it was asked all the same, 1 if it told this account so,
--        milliseconds since it served another account or -1, environments, troubled, accounts, troubled accounts, late
--        accounts, retry after, spent until, then second and counts in turn, in any order}; what follows the 14th is there
--        only where the caller is to evaluate. Of accounts, two and more are 2
--
-- A report about another generation than the present one is not counted. What is older than 300 s is forgotten. Asking
-- DynamoDB is for reports, which nobody waits for; a call that begins does it only where none came for a second.
local EVERY, SOONER, TRUTH_EVERY, TRUTH_SOONER = 1000, 800, 5000, 1000
local KEPT_SECONDS, MOST_KNOWN, ACCOUNTS_SECONDS, LONGEST_RETRY = 300, 16, 60, 300000
local REMEMBERED, LATELY = 32, 8
local EARNED, MOST_CREDITS = 1.2, 16
local FEW, MANY = 3, 'many'
local BREAKER_TTL, CALLS_TTL, LATENCY_TTL, ROOM_TTL = 3600, 60, 7 * 86400, 86400
local SHORTEST, GROWTH, CLASSES, MEMORY, FEWEST = 50, 1.1, 96, 2000, 50

local breaker, calls, latencies, room = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local account = ARGV[4]
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
local is_trouble, is_spent = false, false

if generation >= 0 and number(ARGV[3]) == generation then
  local field, seen = 's:' .. second, 0
  for j = 6, 10 do seen = seen + ARGV[j] end
  if seen > 0 then
    local counts, i = {0, 0, 0, 0, 0}, 1
    for count in string.gmatch(call('HGET', breaker, field) or '', '%d+') do
      counts[i], i = number(count), i + 1
    end
    for j = 1, 5 do counts[j] = counts[j] + number(ARGV[5 + j]) end
    call('HSET', breaker, field, table.concat(counts, ' '))
    local function saw(set, id, count)
      local there = call('HMGET', breaker, set .. id, count)
      if not there[1] and number(there[2] or 0) >= MOST_KNOWN then return end
      if not there[1] then call('HINCRBY', breaker, count, 1) end
      call('HSET', breaker, set .. id, second)
    end
    is_trouble = ARGV[7] + ARGV[8] + ARGV[9] > 0
    -- The last account, and the last other one, are enough to know whether there were two.
    local function saw_account(set)
      local one, two = set .. '1', set .. '2'
      local there = call('HMGET', breaker, one, one .. 'at')
      if there[1] and there[1] ~= account then call('HSET', breaker, two, there[1], two .. 'at', there[2]) end
      call('HSET', breaker, one, account, one .. 'at', second)
    end
    saw('e:', ARGV[5], 'environments')
    if account ~= '' then
      saw_account('a')
      if ARGV[7] + ARGV[8] > 0 then saw_account('b') end
      if number(ARGV[9]) > 0 then saw_account('l') end
    end
    if is_trouble then
      saw('t:', ARGV[5], 'troubled')
      call('HSETNX', breaker, 'bad_since', second)
    end
  end
  -- What was no probe frees no probe's place.
  local results = ARGV[17] == 'probe' and ARGV[6] + ARGV[7] + ARGV[8] + ARGV[15] or 0
  if results > 0 then call('HINCRBY', breaker, 'results', results) end
  if number(ARGV[6]) > 0 then call('HDEL', breaker, 'retry') end
  for field, at in pairs({retry = math.min(number(ARGV[11]), now + LONGEST_RETRY), spent = number(ARGV[12])}) do
    if at > number(call('HGET', breaker, field) or 0) then
      call('HSET', breaker, field, string.format('%.0f', at))
      is_spent = is_spent or field == 'spent'
    end
  end
  local latency = number(ARGV[13])
  if latency >= 0 and ARGV[14] == '1' then
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

-- What the provider had room for, whatever was decided meanwhile.
local held = call('HMGET', room, 'last', 'credits', 'by', 'at', 'by2', 'at2', 'retry', 'retry1', 'retry2', 'other',
  'asked', 'spoilers')
local last, by, at, by2, at2 = held[1] or '', held[3], held[4], held[5], held[6]
local retry, retry1, retry2, other, asked = number(held[7] or 0), held[8], held[9], held[10], number(held[11] or 0)
if retry > 0 and retry <= now then
  call('HDEL', room, 'retry', 'retry1', 'retry2', 'other', 'asked')
  retry, retry1, retry2, other, asked = 0, nil, nil, nil, 0
end
local letter = ARGV[3] ~= '-1' and ARGV[16] or ''
if letter ~= '' then
  last = string.sub(last .. letter, -REMEMBERED)
  local credits, fields = number(held[2] or 0), {'last', last}
  -- One that a credit of room let through has cost it then.
  if ARGV[17] ~= 'room' then credits = math.max(0, credits - 1) end
  if letter == 'g' then credits = math.min(MOST_CREDITS, credits + EARNED) end
  fields[3], fields[4] = 'credits', credits
  if letter == 'g' then
    if account ~= '' then
      if by and by ~= account then by2, at2 = by, at end
      by, at = account, string.format('%.0f', now)
      for field, value in pairs({by = by, at = at, by2 = by2 or nil, at2 = at2 or nil}) do
        fields[#fields + 1], fields[#fields + 2] = field, value
      end
    end
    if retry > 0 then
      call('HDEL', room, 'retry', 'retry1', 'retry2', 'other', 'asked')
      retry, retry1, retry2, other, asked = 0, nil, nil, nil, 0
    end
  elseif number(ARGV[11]) > now then
    if not retry1 then
      retry1, asked = account, now
      fields[#fields + 1], fields[#fields + 2] = 'asked', string.format('%.0f', now)
    elseif retry1 ~= account then
      retry2 = account
    end
    retry = number(ARGV[11])
    for field, value in pairs({retry = string.format('%.0f', retry), retry1 = retry1, retry2 = retry2 or nil}) do
      fields[#fields + 1], fields[#fields + 2] = field, value
    end
  elseif retry1 and retry1 ~= account and not other then
    other = account
    fields[#fields + 1], fields[#fields + 2] = 'other', account
  end
  call('HSET', room, unpack(fields))
  call('EXPIRE', room, ROOM_TTL)
end
local lately = string.sub(last, -LATELY)
local _, failed = string.gsub(lately, '[fr]', '')
local is_refusing = string.find(last, 'r', 1, true)
local is_free = not is_refusing and (last == '' or string.sub(last, -1) == 'g' or failed * 2 <= #lately)
local spoilers, spoiler = held[12] or '', '\n' .. account .. '\n'
local _, feeds = string.gsub(spoilers, '\n', '')
if letter ~= '' then
  local before = spoilers
  if is_free then
    spoilers = ''
  elseif letter ~= 'g' and spoilers ~= MANY and not string.find(spoilers, spoiler, 1, true) then
    if spoilers == '' then spoilers = '\n' end
    -- One feed stands before each account, and one at the end.
    spoilers = feeds <= FEW and spoilers .. account .. '\n' or MANY
  end
  if spoilers ~= before then call('HSET', room, 'spoilers', spoilers) end
end
-- The bad answers of a few accounts say nothing of another's calls.
is_free = is_free or spoilers ~= '' and spoilers ~= MANY and not string.find(spoilers, spoiler, 1, true)
-- Bad news of one account is no news of all, unless no other one called.
local paused = retry > now and retry1 and (retry2 or not other) and retry or 0
local is_told = account ~= '' and (account == retry1 or account == retry2)
local served = by ~= account and at or at2
local since_served = served and now - number(served) or -1

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
  -- A spent budget is decided about at once.
  if is_due(known[4], is_spent and EVERY or is_trouble and SOONER or 0, EVERY) then
    evaluates = 1
    call('HSET', breaker, 'next', string.format('%.0f', now + EVERY))
    call('EXPIRE', breaker, BREAKER_TTL)
  end
end

local late = call('HGET', latencies, 'late')
local reply = {now, generation, known[2] or '', number(known[3] or 0), floor(rate), number(late or 0),
  number(known[7] or 0), asks_truth, evaluates, is_free and 1 or 0, paused, math.max(0, now - asked), is_told and 1 or 0, since_served}
if evaluates == 1 then
  local all, filled = call('HGETALL', breaker), #reply + 7
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
      reply[filled + 1], reply[filled + 2], filled = at, value, filled + 2
    end
  end
  if #gone > 0 then call('HDEL', breaker, unpack(gone)) end
  for kind, count in pairs(sets) do
    if gone[kind] then fields[count] = call('HINCRBY', breaker, count, -gone[kind]) end
  end
  -- Accounts count from the first bad result on, a minute back at most.
  local from = math.max(number(fields.bad_since or second + 1), second - ACCOUNTS_SECONDS)
  for field, set in pairs({accounts = 'a', troubled_accounts = 'b', late_accounts = 'l'}) do
    local one, two = number(fields[set .. '1at'] or 0), number(fields[set .. '2at'] or 0)
    fields[field] = (one >= from and 1 or 0) + (two >= from and 1 or 0)
  end
  local told = {'environments', 'troubled', 'accounts', 'troubled_accounts', 'late_accounts', 'retry', 'spent'}
  for i, field in ipairs(told) do reply[14 + i] = number(fields[field] or 0) end
end
return reply
