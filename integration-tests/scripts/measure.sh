#!/usr/bin/env bash
# The figures of the README: start times, idle memory, and what an exchange adds to calling the register directly.
#   cargo build --release && integration-tests/scripts/measure.sh [target/release/kogge]
# Needs wrk, jq and curl (Debian packages of these names). Everything runs on this machine's loopback interface; direct calls and
# exchanges are measured in turn, five times each, and medians are printed, because timings wander on shared machines.
set -euo pipefail
kogge=$(realpath "${1:-target/release/kogge}")
seconds=${SECONDS_EACH:-5}
rounds=${ROUNDS:-5}
work=$(mktemp -d)
restarted=
trap 'kill $restarted 2>/dev/null; kill -INT "$demo" 2>/dev/null && wait "$demo" 2>/dev/null; rm -rf "$work"' EXIT

millis() { date +%s%3N; }
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

begin=$(millis)
"$kogge" demo --dir "$work/demo" --port-base 0 >"$work/out" 2>&1 &
demo=$!
until [ -s "$work/demo/endpoints.json" ]; do
    kill -0 "$demo" || { cat "$work/out"; exit 1; }
    sleep 0.01
done
echo "demo up in: $(($(millis) - begin)) ms (from nothing: keys, certificates, five processes)"
value() { jq -r "$1" "$work/demo/endpoints.json"; }
client=$(value .client)
path="?family_name=Petersen&limit=2"
exchange="$(value .consumer)/r1/$(value .service)$path"
direct="$(value .register)/persons$path"
curl -fsS -H "X-Road-Client: $client" "$exchange" >/dev/null

sleep 3
for role in consumer provider; do
    pid=$(value ".security_servers[] | select(.role==\"$role\") | .pid")
    echo "idle memory of the $role's security server: $(awk '/^Pss:/ {print int($2/1024)}' "/proc/$pid/smaps_rollup") MiB (proportional set size)"
done

# One security server again, with its cache warm: from exec to ready.
pid=$(value '.security_servers[] | select(.role=="provider") | .pid')
config=$(value '.security_servers[] | select(.role=="provider") | .config')
status=$(sed -n '/^\[status\]/,/^\[/s/^listen *= *"\(.*\)"/\1/p' "$config")
for _ in $(seq "$rounds"); do
    kill -TERM "$pid"
    while curl -fs -o /dev/null "http://$status/live"; do sleep 0.01; done
    begin=$(date +%s%N)
    "$kogge" security-server run --config "$config" >>"$work/provider.log" 2>&1 &
    pid=$! restarted=$!
    until curl -fs -o /dev/null "http://$status/ready"; do sleep 0.002; done
    echo $((($(date +%s%N) - begin) / 1000000))
done >"$work/ready"
echo "ready with a warm cache in: $(median <"$work/ready") ms (median of $rounds)"

latency() { # URL CONNECTIONS -> p50 and p99 in microseconds
    wrk -t1 -c"$2" -d"${seconds}s" --latency -H "X-Road-Client: $client" "$1" | awk '
        function us(t) { return t ~ /us$/ ? t+0 : t ~ /ms$/ ? t*1000 : t*1000000 }
        /50%/ {p50=us($2)} /99%/ {p99=us($2)} /Requests\/sec/ {rate=$2} /Non-2xx/ {bad=$NF}
        END {print p50, p99, rate, bad+0}'
}
for connections in 1 64; do
    for _ in $(seq "$rounds"); do
        latency "$direct" "$connections" >>"$work/direct.$connections"
        latency "$exchange" "$connections" >>"$work/exchange.$connections"
    done
    for kind in direct exchange; do
        for column in 1 2 3; do
            eval "${kind}_$column=$(awk -v c=$column '{print $c}' "$work/$kind.$connections" | median)"
        done
    done
    bad=$(awk '{n+=$4} END {print n+0}' "$work/exchange.$connections")
    echo "$connections client(s): register directly p50 $direct_1 us, p99 $direct_2 us; through Kogge p50 $exchange_1 us, p99 $exchange_2 us;" \
        "added p50 $(awk "BEGIN {print int($exchange_1-$direct_1)}") us, p99 $(awk "BEGIN {print int($exchange_2-$direct_2)}") us; $exchange_3 exchanges/s, $bad refused"
done
for role in consumer provider; do
    pid=$(value ".security_servers[] | select(.role==\"$role\") | .pid")
    [ "$role" = provider ] && pid=$restarted
    echo "memory of the $role's security server after that load: $(awk '/^Pss:/ {print int($2/1024)}' "/proc/$pid/smaps_rollup") MiB (proportional set size)"
done
