#!/bin/sh
# A Docker engine of our own: started by hand, private socket, nothing shared with another engine.
#
#   docker_engine.sh start [FOLDER]    prints DOCKER_HOST=unix://FOLDER/docker.sock
#   docker_engine.sh stop  [FOLDER]    ends that engine, by its pid file, and removes its data
#
# With DOCKER_ENGINE_TCP=ADDRESS:PORT it listens there too, without any authentication: whoever can
# connect is root, so name a loopback address, and on a machine of your own. With
# DOCKER_ENGINE_BRIDGE=1 it has a bridge, by which containers reach this machine. Where runsc is installed it
# is a runtime of the engine, by that name.
#
# FOLDER defaults to $DOCKER_ENGINE_DIR, else /tmp/codeact-engine; keep it short (socket paths end
# at 107 bytes). Needs root. Installs docker.io from Debian when there is no dockerd.
set -eu

action=${1:-start}
folder=${2:-${DOCKER_ENGINE_DIR:-/tmp/codeact-engine}}
pidfile=$folder/dockerd.pid
socket=$folder/docker.sock

alive() {
    [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null
}

ready() {
    [ -S "$socket" ] && python3 - "$socket" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
    sys.exit(b"200 OK" not in s.recv(200))
except OSError:
    sys.exit(1)
PY
}

install_engine() {
    command -v dockerd >/dev/null 2>&1 && return
    echo "docker_engine: installing docker.io" >&2
    (apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends docker.io) >&2 </dev/null
}

start() {
    if alive && ready; then
        echo "DOCKER_HOST=unix://$socket"
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "docker_engine: root is needed to start an engine" >&2
        exit 1
    fi
    install_engine
    mkdir -p "$folder"
    chmod 700 "$folder"
    rm -f "$pidfile" "$socket"
    runtimes=
    if runsc=$(command -v runsc); then
        # ptrace needs no virtualisation, and our containers are limited by the engine's cgroups.
        runtimes="\"runsc\": {\"path\": \"$runsc\", \"runtimeArgs\":
            [\"--platform=ptrace\", \"--network=none\", \"--ignore-cgroups\"]}"
    fi
    echo "{\"runtimes\": {$runtimes}}" >"$folder/daemon.json"
    # No firewall rules and no bridge: containers of ours have no network, builds neither.
    set -- --iptables=false --ip6tables=false
    [ -n "${DOCKER_ENGINE_BRIDGE:-}" ] || set -- "$@" --bridge none
    [ -z "${DOCKER_ENGINE_TCP:-}" ] || set -- "$@" --host "tcp://$DOCKER_ENGINE_TCP" --tls=false
    setsid dockerd --host "unix://$socket" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$pidfile" --config-file "$folder/daemon.json" "$@" \
        --log-level warn >"$folder/dockerd.log" 2>&1 </dev/null &
    tries=0
    until ready; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 $! 2>/dev/null; then
            echo "docker_engine: dockerd did not get ready; the end of $folder/dockerd.log:" >&2
            tail -n 5 "$folder/dockerd.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    echo "DOCKER_HOST=unix://$socket"
}

stop() {
    if alive; then
        pid=$(cat "$pidfile")
        kill "$pid"
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ $tries -lt 150 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    fi
    rm -rf "$folder/data" "$folder/exec" "$socket" "$pidfile"
}

case $action in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
