#!/bin/bash
# run.sh SHARDFERRY DIR: installs the clients into DIR and lets each do a day's
# work against a sandbox with two shards and one that is a plain replica set.
#
#   CLIENTS="mongosh node pymongo"   which ones
#   ALLOW_MISSING=1                  go on without those that cannot be installed
#   CLIENT_PORT=28950                the first of about ten ports
set -u
shardferry=$1 dir=$2 here=$(cd "$(dirname "$0")" && pwd)
clients=${CLIENTS:-mongosh node pymongo} port=${CLIENT_PORT:-28950}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1
missing="" failed="" sandbox=""
trap '[ -z "$sandbox" ] || kill "$sandbox"' EXIT

# installed NAME: installs what the client needs, unless it is there already.
installed() {
  case $1 in
    mongosh | node) in_node_modules "$1" ;;
    pymongo) in_venv ;;
    *) echo "there is no client $1"; return 1 ;;
  esac
}

in_node_modules() {
  command -v npm >/dev/null || { echo "npm is not installed"; return 1; }
  cp "$here/package.json" "$dir/package.json" || return 1
  npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel error || return 1
  [ "$1" = node ] || [ -x "$dir/node_modules/.bin/mongosh" ]
}

in_venv() {
  command -v python3 >/dev/null || { echo "python3 is not installed"; return 1; }
  [ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv" || return 1
  "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
}

# day NAME URI: a client's day, with the directory of its modules known.
day() {
  case $1 in
    mongosh) "$dir/node_modules/.bin/mongosh" --quiet --norc "$2" "$here/day_mongosh.js" ;;
    node) CLIENT_MODULES="$dir/node_modules" node "$here/day_node.mjs" "$2" ;;
    pymongo) "$dir/venv/bin/python" "$here/day_pymongo.py" "$2" ;;
  esac
}

# serve FLAGS: starts a sandbox and sets uri to its administrator's.
serve() {
  "$shardferry" sandbox --auth --json --port "$port" "$@" >"$dir/sandbox.log" 2>&1 &
  sandbox=$!
  for _ in $(seq 100); do
    uri=$(sed -n 's/.*"operatorUri":"\([^"]*\)".*/\1/p' "$dir/sandbox.log")
    [ -z "$uri" ] || return 0
    kill -0 "$sandbox" 2>/dev/null || break
    sleep 0.1
  done
  echo "the sandbox did not start:" && cat "$dir/sandbox.log"
  exit 1
}

# topology TITLE SHARDED FLAGS: every client's day on one sandbox.
topology() {
  local title=$1 sharded=$2
  shift 2
  serve "$@"
  for client in $ready; do
    echo "== $client, $title"
    CLIENT_SHARDED=$sharded day "$client" "$uri" || failed="$failed $client($title)"
  done
  kill "$sandbox" && wait "$sandbox"
  sandbox=""
}

ready=""
for client in $clients; do
  if installed "$client"; then ready="$ready $client"; else missing="$missing $client"; fi
done
[ -z "$missing" ] || echo "!!! NOT TESTED, could not be installed:$missing"
if [ -n "$ready" ]; then
  topology "two shards" 1 --shards 2
  topology "replica set" 0 --replica-set
fi
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
[ -z "$missing" ] || [ "${ALLOW_MISSING:-}" = 1 ] || { echo "FAILED: ALLOW_MISSING=1 goes on without:$missing"; exit 1; }
[ -z "$ready" ] && echo "nothing was tested" || echo "every client's day went well:$ready"
