#!/bin/sh
# Start a Ray head here and workers elsewhere, play a run on them, and end them: with_ray.sh WORDS...
#
# NODES           how many nodes there will be, this one included
# ON_THE_OTHERS   the command that runs another one once on each of the other nodes (srun ...)
# CPUS            of each node that Ray may give away
# PORT            of the head; two runs on one machine need two
# RAY_FOLDER      for Ray's sockets and logs: a short path, local to the node
# HEAD            an address of this machine that the others reach
set -eu

head=${HEAD:-$(hostname -I | cut -d ' ' -f 1)}
address=$head:${PORT:-6379}
folder=${RAY_FOLDER:-/tmp/ray-$$}
started=

# Whoever reaches the ports of a cluster can run anything on it, and nodes are shared with others.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN

finish() {
    trap - EXIT
    # By their ids: `ray stop` would end every Ray on the machine. The head last, since the others
    # take leave of it.
    for process in $started; do
        kill "$process" 2>/dev/null || true
        wait "$process" || true
    done
    rm -rf "$folder"
}
trap finish EXIT
# codeact finishes what is in flight; what is left is played by the next one.
trap '[ -z "${run:-}" ] || kill -TERM "$run"' TERM INT

ray start --head --block --node-ip-address="$head" --port="${PORT:-6379}" --num-cpus="${CPUS:-1}" \
    --ray-client-server-port="$((${PORT:-6379} + 1))" --temp-dir="$folder" \
    --include-dashboard=false >&2 &
started=$!
# A node that comes before the head gives up.
python - "$head" "${PORT:-6379}" <<'PY'
import socket, sys, time

deadline = time.monotonic() + 120
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
        break
    except OSError as error:
        if time.monotonic() > deadline:
            sys.exit(f"Ray's head does not answer at {sys.argv[1]}:{sys.argv[2]}: {error}")
        time.sleep(0.2)
PY
if [ -n "${ON_THE_OTHERS:-}" ]; then
    # Its words are several.
    # shellcheck disable=SC2086
    $ON_THE_OTHERS ray start --block --address="$address" --num-cpus="${CPUS:-1}" >&2 &
    started="$! $started"
fi

python - "$address" "${NODES:-1}" <<'PY'
import sys, time
import ray

address, wanted = sys.argv[1], int(sys.argv[2])
deadline = time.monotonic() + 300
joined = 0
while joined < wanted:
    if time.monotonic() > deadline:
        sys.exit(f"only {joined} of {wanted} nodes joined Ray at {address} within 5 minutes")
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        joined = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        pass
    time.sleep(1)
PY

codeact run compute=ray compute.address="$address" "$@" &
run=$!
status=0
wait "$run" || status=$?
# A signal ends `wait`, not the run.
while kill -0 "$run" 2>/dev/null; do
    status=0
    wait "$run" || status=$?
done
exit "$status"
