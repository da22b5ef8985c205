-- The breaker and rate limit of one partner. Valkey runs one script at a time, so each verb is one step for the whole
-- fleet, by Valkey's own clock. Numbers return as text: Valkey would cut them to integers.
--
-- KEYS  gate: the partner's hash; failing: the effects that failed since the last success
-- ARGV  the verb, calls allowed a second, and the verb's arguments
local gate, failing = KEYS[1], KEYS[2]
local verb, rate = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

local function get(name) return tonumber(redis.call('HGET', gate, name)) or 0 end
local function set(name, value) redis.call('HSET', gate, name, string.format('%.6f', value)) end

-- A call that is held back gets a slot, one each 1/rate seconds. So held-back calls return at the rate that the partner
-- allows. Returns seconds from now.
local function slot(earliest)
  local at = math.max(get('book'), earliest) + 1 / rate
  set('book', at)
  return string.format('%.3f', at - now)
end

local verbs = {}

-- May this call pass now? {answer, number, seconds}: "pass" (number: failures since the last success; seconds: to wait
-- first, at most `patience`), "probe" (number: the probe's), or the reason why not, with the seconds until its slot.
function verbs.admit(patience, lease, burst)
  local open, held = get('open_until'), get('held_until')
  if held > now then return {'it sent Retry-After', 0, slot(held)} end
  if open > 0 then
    if now < math.max(open, get('probe_until')) then
      return {'its breaker is open', 0, slot(math.max(open, now + 1))}
    end
    set('probe_until', now + lease)  -- the probe must report by then; if its process died, the next call probes
    return {'probe', redis.call('HINCRBY', gate, 'probes', 1), '0'}
  end
  local free = math.max(get('free'), now)  -- when the allowed rate covers all calls passed so far
  local wait = free - now - burst
  if wait > patience then return {'its rate limit is reached', 0, slot(now + wait)} end
  set('free', free + 1 / rate)
  return {'pass', get('failures'), string.format('%.3f', math.max(0, wait))}
end

-- A call failed: "opened" if that opened the breaker, and a slot if one is wanted. Where few call, the threshold is
-- never reached: two effects are enough, once each call has failed for as long as `long`.
function verbs.failed(probe, effect, wanted, threshold, window, first, longest, long)
  local event, open = '', get('open_until')
  if redis.call('HINCRBY', gate, 'failures', 1) == 1 or open == 0 and redis.call('EXISTS', failing) == 0 then
    set('failing_since', now)
  end
  set('failed_at', now)
  if open == 0 then
    redis.call('SADD', failing, effect)
    redis.call('EXPIRE', failing, window)
    local effects = redis.call('SCARD', failing)
    if effects >= threshold or effects > 1 and now - get('failing_since') >= long then
      event, open = 'opened', now + first
      set('since', now)
      set('pause', first)
    end
  elseif probe > 0 and probe == get('probes') then
    set('pause', math.min(2 * get('pause'), longest))
    set('probe_until', 0)
    open = now + get('pause')
  end
  if open > 0 then set('open_until', open) end
  return {event, wanted > 0 and slot(math.max(open, now + 1)) or '0'}
end

-- A call was answered, with a Retry-After of `hold` seconds: "closed" if that closed the breaker. Only the probe closes
-- it: an answer to a call that passed earlier says nothing about now.
function verbs.answered(probe, hold)
  if hold > 0 then set('held_until', math.max(get('held_until'), now + hold)) end
  local open = get('open_until')
  if open > 0 and (probe == 0 or probe ~= get('probes')) then return {'', '0'} end
  redis.call('DEL', failing)
  redis.call('HDEL', gate, 'failures', 'failing_since')
  if open == 0 then return {'', '0'} end
  redis.call('HDEL', gate, 'open_until', 'probe_until', 'pause')
  set('since', now)
  return {'closed', '0'}
end

local arguments = {}
for index = 3, #ARGV do arguments[index - 2] = tonumber(ARGV[index]) or ARGV[index] end
local answer = verbs[verb](unpack(arguments))
redis.call('EXPIRE', gate, 86400)  -- hosts come and go
return answer
