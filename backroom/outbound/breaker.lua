-- The gate before one partner. Valkey runs one script at a time, so that each verb is one step for the whole fleet, and
-- all times are its own clock's. A number goes back as text: Valkey would cut it to an integer.
--
-- KEYS  gate: the partner's hash; failing: who failed since the last success
-- ARGV  the verb, calls allowed a second, and what the verb takes
local gate, failing = KEYS[1], KEYS[2]
local verb, rate = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

local function get(name) return tonumber(redis.call('HGET', gate, name)) or 0 end
local function set(name, value) redis.call('HSET', gate, name, string.format('%.6f', value)) end

-- Who is turned away gets an appointment, one each 1/rate seconds. So those who wait come back at the rate at which the
-- partner may be asked, whether that was their trouble or another; seconds from now.
local function appointment(earliest)
  local at = math.max(get('book'), earliest) + 1 / rate
  set('book', at)
  return string.format('%.3f', at - now)
end

local verbs = {}

-- May the partner be asked now? {answer, number, seconds}: "pass" (number: failures since the last success; seconds:
-- wait so long, at most `patience`), "probe" (number: the probe's), or why not, with the seconds to wait.
function verbs.admit(patience, lease, burst)
  local open, held = get('open_until'), get('held_until')
  if held > now then return {'it asked for patience', 0, appointment(held)} end
  if open > 0 then
    if now < math.max(open, get('probe_until')) then
      return {'it was not available lately', 0, appointment(math.max(open, now + 1))}
    end
    set('probe_until', now + lease)  -- it must say by then how it went; if it died, the next one probes
    return {'probe', redis.call('HINCRBY', gate, 'probes', 1), '0'}
  end
  local free = math.max(get('free'), now)  -- when the calls let through so far are paid for at the allowed rate
  local wait = free - now - burst
  if wait > patience then return {'it is asked as often as allowed', 0, appointment(now + wait)} end
  set('free', free + 1 / rate)
  return {'pass', get('failures'), string.format('%.3f', math.max(0, wait))}
end

-- A call failed: "opened" if by that the breaker opened, and an appointment, for those who want one.
function verbs.failed(probe, who, wants, threshold, window, first, longest)
  local event, open = '', get('open_until')
  redis.call('HINCRBY', gate, 'failures', 1)
  if open == 0 then
    redis.call('SADD', failing, who)
    redis.call('EXPIRE', failing, window)
    if redis.call('SCARD', failing) >= threshold then
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
  return {event, wants > 0 and appointment(math.max(open, now + 1)) or '0'}
end

-- A call was answered, and `hold` seconds asked for: "closed" if by that the breaker closed. Only the probe closes it: an
-- answer to a call that was let through before says nothing about now.
function verbs.answered(probe, hold)
  if hold > 0 then set('held_until', math.max(get('held_until'), now + hold)) end
  local open = get('open_until')
  if open > 0 and (probe == 0 or probe ~= get('probes')) then return {'', '0'} end
  redis.call('DEL', failing)
  redis.call('HDEL', gate, 'failures')
  if open == 0 then return {'', '0'} end
  redis.call('HDEL', gate, 'open_until', 'probe_until', 'pause')
  set('since', now)
  return {'closed', '0'}
end

local arguments = {}
for index = 3, #ARGV do arguments[index - 2] = tonumber(ARGV[index]) or ARGV[index] end
return verbs[verb](unpack(arguments))
