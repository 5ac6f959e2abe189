#!/usr/bin/env bash
# The walk of README.md in one go. Every line between `step` and `step` stands in README.md as well; a test compares them.
# Needs a running `ops/start`, curl and python3. Each run trades: it buys ten shares in the sandbox.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
step() { printf '\n\n== %s\n' "$*"; }

step "who and where"
START="${ILIM_DATA_DIR:-var}/start.json"
pick() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1], {"d": d}))' "$1"; }
key() { echo "Idempotency-Key: $(python3 -c 'import uuid; print(uuid.uuid4())')"; }
API=$(pick 'd["api"]' < "$START")
KIM="Authorization: Bearer $(pick 'd["users"]["kim"]["key"]' < "$START")"
JSON='Content-Type: application/json'
WAIT='Prefer: wait=5'

step "health"
curl -sS "$API/healthz"
curl -sS "$API/readyz"

step "accounts"
curl -sS -H "$KIM" "$API/v1/accounts?limit=1"
ACCOUNT=$(curl -sS -H "$KIM" "$API/v1/accounts" | pick '[a["id"] for a in d["items"] if a["contract_status"] == "0"][0]')
curl -sS -H "$KIM" "$API/v1/accounts/$ACCOUNT/balance" | pick 'd["ours"]["cash"]'

step "an instrument"
INSTRUMENT=$(curl -sS -H "$KIM" "$API/v1/instruments" | pick '[i["isin"] for i in d["items"] if i["product"] == "stock" and i["day"] and not i["day"]["halted"]][0]')
FLOOR=$(curl -sS -H "$KIM" "$API/v1/instruments/$INSTRUMENT" | pick 'd["day"]["lower_limit"]')
echo "$INSTRUMENT, lower price limit $FLOOR"

step "an order"
ORDER=$(curl -sS -X POST "$API/v1/orders" -H "$KIM" -H "$JSON" -H "$(key)" -H "$WAIT" \
  -d "{\"account_id\": \"$ACCOUNT\", \"isin\": \"$INSTRUMENT\", \"side\": \"buy\", \"order_type\": \"market\", \"quantity\": 10}")
echo "$ORDER"
BOUGHT=$(echo "$ORDER" | pick 'd["id"]')

step "its fill"
sleep 1
curl -sS -H "$KIM" "$API/v1/executions?order_id=$BOUGHT"
curl -sS -H "$KIM" "$API/v1/orders/$BOUGHT" | pick '{k: d[k] for k in ("status", "filled_quantity", "remaining_quantity", "average_price")}'

step "an order that rests"
RESTING=$(curl -sS -X POST "$API/v1/orders" -H "$KIM" -H "$JSON" -H "$(key)" -H "$WAIT" \
  -d "{\"account_id\": \"$ACCOUNT\", \"isin\": \"$INSTRUMENT\", \"side\": \"buy\", \"order_type\": \"limit\", \"quantity\": 10, \"price\": \"$FLOOR\"}" | pick 'd["id"]')
curl -sS -H "$KIM" "$API/v1/orders/$RESTING" | pick '{k: d[k] for k in ("status", "quantity", "price", "remaining_quantity")}'

step "an amend: a lower quantity"
curl -sS -X POST "$API/v1/orders/$RESTING/amendments" -H "$KIM" -H "$JSON" -H "$(key)" -H "$WAIT" -d '{"quantity": 6}' \
  | pick '{k: d[k] for k in ("status", "quantity", "remaining_quantity")} | {"requests": [(r["kind"], r["state"]) for r in d["requests"]]}'

step "a quantity increase, refused"
curl -sS -X POST "$API/v1/orders/$RESTING/amendments" -H "$KIM" -H "$JSON" -H "$(key)" -d '{"quantity": 9}'

step "a cancellation"
curl -sS -X POST "$API/v1/orders/$RESTING/cancellations" -H "$KIM" -H "$(key)" -H "$WAIT" \
  | pick '{k: d[k] for k in ("status", "quantity", "remaining_quantity")} | {"requests": [(r["kind"], r["state"]) for r in d["requests"]]}'

step "a list of orders, refused"
curl -sS -X POST "$API/v1/orders" -H "$KIM" -H "$JSON" -H "$(key)" -d '[{"side": "buy"}, {"side": "sell"}]'
echo
