#!/bin/bash
# Two hosts on one machine: network namespaces NAME-head (10.77.0.1) and NAME-node (10.77.0.2), joined by a cable.
#
#   tools/two_hosts.sh start [NAME]             lay them (default name: neuroadda)
#   tools/two_hosts.sh head|node NAME COMMAND   run a command on one of them
#   tools/two_hosts.sh cut|mend [NAME]          pull the cable and plug it in again
#   tools/two_hosts.sh stop [NAME]              kill what still runs there, and remove them
#
# They share files, users and the host's name; all else they have to say goes through the cable. Needs root and iproute2.
set -euo pipefail

fail() {
    echo "two_hosts.sh: $*" >&2
    exit 2
}

verb=${1:-}
name=${2:-neuroadda}
[ "$(id -u)" = 0 ] || fail "only root may lay network namespaces"
command -v ip > /dev/null || fail "ip is missing: apt-get install iproute2"

lay() {
    ip netns add "$name-$1"
    ip -n "$name-$1" link set lo up
}

case $verb in
    start)
        lay head
        lay node
        ip link add cable netns "$name-head" type veth peer name cable netns "$name-node"
        ip -n "$name-head" address add 10.77.0.1/24 dev cable
        ip -n "$name-node" address add 10.77.0.2/24 dev cable
        ip -n "$name-head" link set cable up
        ip -n "$name-node" link set cable up
        ;;
    head | node)
        exec nsenter --net="/run/netns/$name-$verb" "${@:3}"
        ;;
    cut) ip -n "$name-node" link set cable down ;;
    mend) ip -n "$name-node" link set cable up ;;
    stop)
        for host in "$name-head" "$name-node"; do
            [ -e "/run/netns/$host" ] || continue
            ip netns pids "$host" | xargs --no-run-if-empty kill -KILL
            ip netns delete "$host"
        done
        ;;
    *) fail "say start, head, node, cut, mend or stop" ;;
esac
