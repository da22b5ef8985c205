-- Every process that sent a heartbeat lately. After 10 s of silence its successor on the same machine takes its place.
-- heartbeat.py and /probe.py run this statement. It reads no job, so a lock on the jobs never fails a probe.
SELECT name, role, string_to_array(COALESCE(queues, ''), ','), pool, memory, started_at,
       extract(epoch FROM clock_timestamp() - seen_at)::float
FROM backroom_heartbeat gone WHERE seen_at > clock_timestamp() - interval '10 seconds' OR NOT EXISTS (
    SELECT FROM backroom_heartbeat successor WHERE successor.name <> gone.name AND successor.role = gone.role
    AND successor.started_at > gone.seen_at AND split_part(successor.name, '/', 1) = split_part(gone.name, '/', 1)
) ORDER BY role = 'worker' DESC, role DESC, name
