"""Fills the ledger with eight days of sample jobs, for bench.pages and tests; prints nothing."""

from django.db import connection

DAYS = 8

# Eight follow-ups per order. 97 % have succeeded; the others are dead, waiting for a later time, cancelled or running.
JOBS = """
INSERT INTO backroom_job (id, task, queue, args, key, max_attempts, takes_result, state, run_at, published_at,
                      created_at, started_at, finished_at, claims, attempts, worker, error)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       task, queue, jsonb_build_object('number', number), kind || ':' || number, 16, '', state,
       CASE WHEN state = 'waiting' THEN at + interval '1 day' * (%(days)s + 1) END, at, at, at,
       CASE WHEN state IN ('succeeded', 'dead', 'cancelled') THEN at + interval '20 milliseconds' END, 1, 1, 'one',
       CASE WHEN state IN ('dead', 'cancelled') THEN 'Permanent: ' || kind || ' of order ' || number
            || E' was refused\n' || repeat('trace ', 300) ELSE '' END
FROM (SELECT n, 10000 + n / 8 AS number, now() - (%(jobs)s - n) * interval '1 day' * %(days)s / %(jobs)s AS at,
             CASE WHEN n %% 49 = 0 THEN 'dead' WHEN n %% 200 = 1 THEN 'waiting' WHEN n %% 500 = 7 THEN 'cancelled'
                  WHEN n %% 20001 = 3 THEN 'running' ELSE 'succeeded' END AS state
      FROM generate_series(1, %(jobs)s) n) jobs
JOIN (VALUES (0, 'orders.make_invoice', 'invoice', 'critical'), (1, 'orders.mail_receipt', 'receipt', 'critical'),
             (2, 'orders.review_fraud', 'fraud', 'default'), (3, 'orders.capture_payment', 'capture', 'default'),
             (4, 'orders.request_shipment', 'shipment', 'default'), (5, 'orders.send_analytics', 'analytics', 'bulk'),
             (6, 'orders.add_loyalty_points', 'loyalty', 'default'),
             (7, 'orders.update_recommendations', 'recommendations', 'bulk')) tasks (place, task, kind, queue)
     ON place = n %% 8
"""

# The other tables that a page reads: two failed attempts per dead job; progress; minutes; actions.
SURROUNDINGS = [
    """
    INSERT INTO backroom_attempt (job_id, task, queue, number, outcome, worker, published_at, started_at, ended_at,
                                  error)
    SELECT id, task, queue, number, CASE number WHEN 2 THEN 'dead' ELSE 'waiting' END, 'one', published_at, started_at,
           COALESCE(finished_at, created_at), error
    FROM backroom_job, generate_series(1, 2) number WHERE state = 'dead'
    """,
    """
    INSERT INTO backroom_progress (job_id, claim, attempt, done, total, rate, lines, left_out, at, ended)
    SELECT id, 1, 1, 500, 1000, 10, (SELECT jsonb_agg(jsonb_build_object('at', created_at::text, 'level', 'info',
           'text', repeat('word ', 20) || line)) FROM generate_series(1, 10) line), 0, created_at, state <> 'running'
    FROM backroom_job WHERE state IN ('dead', 'running') OR id::text LIKE '%%7'
    """,
    """
    INSERT INTO backroom_ops_queueminute (minute, queue, depth, running, oldest_s, succeeded, retried, dead)
    SELECT minute, queue, 4 + round(3 * wave), 1, 2 + wave, 20 + round(12 * wave), greatest(0, round(2 * wave)),
           (wave > 0.97)::int
    FROM (SELECT minute, queue, sin(extract(epoch FROM minute) / 700 + length(queue)) AS wave
          FROM generate_series(date_trunc('minute', now()) - interval '1 day' * %(days)s,
                               now() - interval '2 minutes', '1 minute') minute,
               unnest(ARRAY['bulk', 'critical', 'default']) queue) minutes
    """,
    """
    INSERT INTO backroom_ops_taskminute (minute, task, queue, succeeded, retried, dead, waits, runs)
    SELECT minute, task, queue, 20, 1, 0, '{"4": 9, "9": 9, "12": 3}', '{"7": 9, "11": 9, "14": 3}'
    FROM generate_series(date_trunc('minute', now()) - interval '25 hours', now() - interval '2 minutes',
                         '1 minute') minute, (SELECT DISTINCT task, queue FROM backroom_job) tasks
    """,
    """
    INSERT INTO backroom_ops_taskhour (hour, task, queue, succeeded, retried, dead, waits, runs, wait_s, run_s)
    SELECT hour, task, queue, 1200, 60, 0, '{"4": 540, "9": 540, "12": 180}', '{"7": 540, "11": 540, "14": 180}', 0, 0
    FROM generate_series(date_trunc('hour', now()) - interval '1 day' * %(days)s, now(), '1 hour') hour,
         (SELECT DISTINCT task, queue FROM backroom_job) tasks
    """,
    """
    INSERT INTO backroom_ops_auditentry (at, who, verb, what, jobs, why)
    SELECT finished_at + interval '1 hour', 'staff', 'cancelled', key, ARRAY[id], 'cancelled by the customer'
    FROM backroom_job WHERE state = 'cancelled'
    """,
]


def fill(jobs: int) -> None:
    """Insert this number of jobs and the rows around them, and refresh the planner's statistics."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for statement in [JOBS, *SURROUNDINGS]:
            cursor.execute(statement, {"jobs": jobs, "days": DAYS})
        cursor.execute("SELECT brin_summarize_new_values('backroom_finished')")
        cursor.execute("ANALYZE")
        cursor.execute("RESET statement_timeout")
