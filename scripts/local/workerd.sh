#!/bin/sh
# workerd as Miniflare starts it, but for one thing: its entry, which also leads to Miniflare's own
# routes past every key, is a socket in a folder of its owner alone instead of a TCP port.
# LEDGER_WORKERD is the binary, LEDGER_ENTRY the socket.
set -eu
rm -f "$LEDGER_ENTRY"
for word; do
  case $word in --socket-addr=entry=*) word="--socket-addr=entry=unix:$LEDGER_ENTRY" ;; esac
  shift
  set -- "$@" "$word"
done
exec "$LEDGER_WORKERD" "$@"
