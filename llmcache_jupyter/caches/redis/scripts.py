"""What the server does in one step, so that nobody sees it half done.

`TOUCH` takes entries' names, and of each how many hits and when the last one was. The others take the names
of the index, of the expiry and of entries, and these entries' digests.
"""

# only the entry that is there: a count alone would be an entry without an answer
TOUCH = """
for number, name in ipairs(KEYS) do
  if redis.call('TYPE', name).ok == 'hash' then
    local hits, last = ARGV[2 * number - 1], ARGV[2 * number]
    local known = tonumber(redis.call('HGET', name, 'last_used') or nil)
    if not (known and known > tonumber(last)) then -- another kernel's may be later
      redis.call('HSET', name, 'last_used', last)
    end
    local counted = redis.pcall('HINCRBY', name, 'hits', hits)
    if type(counted) == 'table' and counted.err then
      redis.call('HSET', name, 'hits', hits) -- it was no number
    end
  end
end"""
# Scripts, as a transaction is refused whole where the server is out of memory
REMOVE = """
local removed = 0
for number = 3, #KEYS do
  removed = removed + redis.call('UNLINK', KEYS[number])
  redis.call('ZREM', KEYS[1], ARGV[number - 2])
  redis.call('ZREM', KEYS[2], ARGV[number - 2])
end
return removed"""
# only what is not there now: another kernel may have stored it a moment ago, or have another clock
PRUNE = """
local pruned = 0
for number = 3, #KEYS do
  if redis.call('EXISTS', KEYS[number]) == 0 then
    pruned = pruned + redis.call('ZREM', KEYS[1], ARGV[number - 2])
    redis.call('ZREM', KEYS[2], ARGV[number - 2])
  end
end
return pruned"""
