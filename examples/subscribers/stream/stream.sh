#!/bin/sh
# Follow the live stream with curl, as an operator. Each event is one line of the file, behind its cursor.
set -eu
url=${CROSSDOCK_EVENTS:-http://127.0.0.1:8440}
journal=${JOURNAL:-events.journal}
pipe=$(mktemp -u)
mkfifo "$pipe"
curl=
trap 'kill $curl 2>/dev/null || :; rm -f "$pipe"; exit 0' INT TERM
touch "$journal"
if [ -n "$(tail -c 1 "$journal")" ]; then # a killed script can leave half a line
  sed '$d' "$journal" >"$journal.whole"
  mv "$journal.whole" "$journal"
fi
while :; do
  last=$(tail -n 1 "$journal" | cut -f 1)
  curl -sSN --fail-with-body "$url/v1/stream" -H "Authorization: Bearer $TOKEN" ${last:+-H "Last-Event-ID: $last"} >"$pipe" &
  curl=$!
  id= kind=
  while IFS= read -r line; do
    case $line in
      "id: "*) id=${line#id: } ;;
      "event: "*) kind=${line#event: } ;; # `searching` and `behind` are about the stream itself
      "data: "*) [ -n "$kind" ] || printf '%s\t%s\n' "$id" "${line#data: }" >>"$journal" ;;
      "") id= kind= ;;
      "{"*) printf '%s\n' "$line" >&2 ;; # a problem in place of a stream
    esac
  done <"$pipe"
  sleep 1 # the stream has ended: ask again from the last cursor
done
