#!/usr/bin/env bash
# Runs all tests in two processes side by side: those of servers, browsers and containers wait much of the time, and the
# others have the cores meanwhile. Shows the former as they run, then what of the code both have run, then the others.
# With arguments: pytest with these, in one process.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

python=.venv/bin/python
options=(--cov --durations=10 --durations-min=5)
servers=(tests/apps tests/e2e)
logs=build/tests

if [ $# -gt 0 ]; then
    exec "$python" -m pytest "${options[@]}" --cov-report=term:skip-covered "$@"
fi

part() ( # its name, how nice it is to others, arguments of pytest
    export COVERAGE_FILE="$logs/$1.coverage"
    exec nice -n "$2" "$python" -m pytest "${options[@]}" --cov-report= "${@:3}"
)

rm -rf "$logs" && mkdir -p "$logs" || exit 1
# A browser has time limits, sums have none.
part others 10 "${servers[@]/#/--ignore=}" > "$logs/others.log" 2>&1 &
trap 'kill %1 2> /dev/null' EXIT
part servers 0 "${servers[@]}"
servers_status=$?
echo "Waiting for the other tests; so far in $logs/others.log"
wait %1
others_status=$?
"$python" -m coverage combine --quiet --keep "$logs"/*.coverage && "$python" -m coverage report --skip-covered
cat "$logs/others.log"
echo "Tests of servers, browsers and containers ended with status $servers_status, the others with $others_status."
[ $servers_status -eq 0 ] && [ $others_status -eq 0 ]
