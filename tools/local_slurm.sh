#!/bin/bash
# A real Slurm of one node on this machine, to try and to test what runs on clusters.
#
#   tools/local_slurm.sh start [FOLDER [HOSTS]]   start it, wait until its node is idle, say how to talk to it
#   tools/local_slurm.sh stop [FOLDER]            cancel its jobs and end all its processes
#
# Settings, state and logs lie under FOLDER (default runs/slurm). HOSTS is the name of two hosts laid by tools/two_hosts.sh: then the
# controller runs on the head and the jobs on the node. It has 4 processors, however many there are, and two partitions: jobs in
# `urgent` preempt those in `work`. Needs root, and Debian's packages slurm-wlm and munge.
set -euo pipefail

PATIENCE=60

fail() {
    echo "local_slurm.sh: $*" >&2
    exit 2
}

# Wait until a command succeeds, or give up.
wait_for() {
    local deadline=$((SECONDS + PATIENCE))
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

verb=${1:-}
folder=$(realpath --canonicalize-missing "${2:-runs/slurm}")
export SLURM_CONF=$folder/slurm.conf

[ "$(id -u)" = 0 ] || fail "only root may run jobs of all users: run it as root (in a container, say)"
for program in munged slurmctld slurmd sinfo; do
    command -v $program > /dev/null || fail "$program is missing: apt-get install slurm-wlm munge"
done

write_settings() {
    local ports
    ports=$(python3 -c 'import socket
ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(end.getsockname()[1] for end in ends))')
    cat > "$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=localhost($1)
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
SlurmUser=root
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=$2 CPUs=4 RealMemory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2
CONF
}

# Run a command on the host where the controller (head) or the jobs (node) run.
on() {
    local hosts
    hosts=$(cat "$folder/hosts")
    if [ -n "$hosts" ]; then "$(dirname "$0")/two_hosts.sh" "$1" "$hosts" "${@:2}"; else "${@:2}"; fi
}

is_idle() {
    [ "$(on head sinfo --noheader --format=%T --partition=work 2> /dev/null)" = idle ]
}

start() {
    [ ! -e "$folder/slurmctld.pid" ] || fail "one runs in $folder already: stop it first"
    rm -rf "$folder"/state "$folder"/spool "$folder"/munge
    mkdir -p "$folder"/state "$folder"/spool
    mkdir -m 0700 "$folder"/munge
    echo "${1:-}" > "$folder/hosts"
    if [ -n "${1:-}" ]; then write_settings 10.77.0.1 10.77.0.2; else write_settings 127.0.0.1 127.0.0.1; fi
    (umask 077 && head --bytes=1024 /dev/urandom > "$folder/munge/key")
    # --force: it may lie below a folder that others may write to, such as /tmp.
    munged --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" --pid-file="$folder/munge/munged.pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" 2> /dev/null
    on head slurmctld
    on node slurmd -N localhost
    wait_for is_idle || fail "its node is not idle after $PATIENCE s: see $folder/*.log"
    echo "export SLURM_CONF=$SLURM_CONF"
}

# End the process of a pid file, and wait until it has gone.
end() {
    local pid
    pid=$(cat "$1" 2> /dev/null) || return 0
    kill "$pid" 2> /dev/null || true
    wait_for has_gone "$pid" || kill -KILL "$pid"
    rm -f "$1"
}

# Gone, or dead and not yet buried by its parent.
has_gone() {
    ! grep --quiet --invert-match "^State:.*Z" <(grep State: "/proc/$1/status" 2> /dev/null)
}

is_up() {
    on head scontrol ping | grep --quiet "is UP"
}

# Kill what a job still runs, where the controller died before it could cancel it.
kill_jobs() {
    local environment pid
    for environment in /proc/[0-9]*/environ; do
        pid=$(basename "$(dirname "$environment")")
        if grep --quiet --text --fixed-strings "SLURM_CONF=$SLURM_CONF" "$environment" 2> /dev/null &&
            { [ "$(cat "/proc/$pid/comm")" = slurmstepd ] || grep --quiet --text SLURM_JOB_ID= "$environment"; }; then
            kill -KILL "$pid" || true
        fi
    done
}

has_no_jobs() {
    [ -z "$(on head squeue --noheader 2>&1)" ]
}

stop() {
    [ -e "$folder/hosts" ] || fail "none runs in $folder"
    if is_up; then
        on head scancel --partition=work
        on head scancel --partition=urgent
        wait_for has_no_jobs || true
    fi
    end "$folder/slurmctld.pid"
    end "$folder/slurmd.pid"
    kill_jobs
    end "$folder/munge/munged.pid"
}

case $verb in
    start) start "${3:-}" ;;
    stop) stop ;;
    *) fail "say start or stop" ;;
esac
