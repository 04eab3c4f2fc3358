#!/bin/sh
# Queues one run in the ledger, waits for its end, and exits 0 only if it ended in success.
#   LEDGER_URL=… LEDGER_KEY=… train.sh my_lora.toml nightly-2026-05-01
# The second word names the run: asked again with the same one, it waits for the run there is.
# Needs curl (7.82+) and jq. An outage of the ledger is waited for a quarter of an hour.
set -eu
ask() { curl -fsS --retry 10 --retry-connrefused -H "Authorization: Bearer $LEDGER_KEY" "$@"; }
run=$(jq -n --rawfile text "$1" --arg path "$1" --arg name "$2" \
  '{task_name: $name, config: {text: $text, path: $path}, queue: {max_attempts: 3}}')
id=$(ask -H "Idempotency-Key: $2" --json "$run" "$LEDGER_URL/api/tasks" | jq .task_id)
echo "task ${id:?was not queued}: $LEDGER_URL/runs/$id"
while task=$(ask "$LEDGER_URL/api/tasks/$id"); do
  case $(echo "$task" | jq -r .status) in
    success) exit 0 ;;
    failed | cancelled) echo "$task" | jq '{id, status, failure_reason, error_message}' >&2; exit 1 ;;
  esac
  sleep "${POLL_SEC:-60}"
done
exit 2
