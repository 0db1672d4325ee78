#!/bin/sh
# Poll the events of your partner with curl. Each page is one line of the file, together with the cursor behind it.
set -eu
url=${CROSSDOCK_EVENTS:-http://127.0.0.1:8440}
journal=${JOURNAL:-events.journal}
trap 'exit 0' INT TERM
touch "$journal"
if [ -n "$(tail -c 1 "$journal")" ]; then # a killed script can leave half a line
  sed '$d' "$journal" >"$journal.whole"
  mv "$journal.whole" "$journal"
fi
next_of() { sed 's/.*"next":"\([^"]*\)"}$/\1/'; }
cursor=$(tail -n 1 "$journal" | next_of)
while :; do
  page=$(curl -sS --fail-with-body --max-time 30 -G "$url/v1/events" -H "Authorization: Bearer $TOKEN" \
    ${cursor:+--data-urlencode "after=$cursor"}) || { printf '%s\n' "$page" >&2; sleep 1; continue; }
  next=$(printf '%s\n' "$page" | next_of)
  if [ "$next" = "$cursor" ]; then
    sleep 1
  else
    printf '%s\n' "$page" >>"$journal"
    cursor=$next
  fi
done
