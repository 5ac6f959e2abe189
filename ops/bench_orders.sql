-- The floor: the rows of one submitted order, as four inserts in one transaction. pgbench -M prepared.
\set n random(1, :accounts)
\set key random(1, 9000000000000000000)
BEGIN;
INSERT INTO orders (id, business_date, account_id, broker, mandate_id, manager_id, isin, short_code, side, order_type,
  time_in_force, session, quantity, price, limit_price, status, remaining_quantity, reserved_cash, reserved_quantity,
  rationale, session_ends, audit_seq, created_at, updated_at)
SELECT uuidv7(), '2026-11-23', account_id, '00991', mandate_id, (SELECT id FROM app_user), 'KR7900000003', '900000', 'buy',
  'limit', 'day', 'regular', 10, 70000, 70000, 'pending_new', 10, 700105, 0, 'bench', '2026-11-23 15:30+09', 1,
  '2026-11-23 10:00+09', '2026-11-23 10:00+09'
FROM mandate_account WHERE account_id = (SELECT id FROM account WHERE broker = '00991' AND number = lpad((:n - 1)::text, 10, '0'))
RETURNING id, manager_id \gset
INSERT INTO order_request (id, order_id, broker, kind, number, cl_ord_id, quantity, price, state, user_id, send_by, queued_at)
VALUES (uuidv7(), :id, '00991', 'new', 1, ilim_cl_ord_id('2026-11-23', nextval('cl_ord_id_seq')), 10, 70000, 'queued', :manager_id,
  '2026-11-23 10:00:30+09', '2026-11-23 10:00+09');
INSERT INTO audit.record (record_id, kind, subject_kind, subject_id, subject_seq, body)
VALUES (uuidv7(), 'order.submitted', 'order', (:id)::uuid::text, 1, convert_to(repeat('x', 560), 'UTF8'));
INSERT INTO idempotency_key (user_id, route, key, body_hash, status, response)
VALUES (:manager_id, 'POST /v1/orders', 'floor-' || (:key)::text, sha256((:key)::text::bytea), 201,
  convert_to(repeat('x', 950), 'UTF8'));
COMMIT;
