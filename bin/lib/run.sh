# Running a command to its end, and leaving nothing behind.
# shellcheck shell=bash

# run_to_end COMMAND...: run a command, pass signals on to it, tidy up after it, and exit with its status.
#
# Ctrl-C in the terminal reaches the command by itself; what is sent to this script alone is handed on, and if this
# script is killed, the command is told to stop.
run_to_end() {
    local child
    trap : INT
    trap 'kill -TERM "$child" 2>/dev/null' TERM HUP
    # Bash has background commands ignore SIGINT and gives them no standard input; both are put back.
    setpriv --pdeathsig TERM env --default-signal=INT,QUIT "$@" <&0 &
    child=$!
    # `wait` also ends when a signal has come, the command goes on then.
    while kill -0 "$child" 2>/dev/null; do
        wait "$child" || true
    done
    end_pause_process
    leave_checkout
    # Bash remembers the status of a child that it has waited for.
    wait "$child" && exit 0
    exit "$?"
}

# end_pause_process: end the process that keeps Podman's user namespace, unless some Podman of this user still works.
#
# It is the one process that outlives all containers; Podman starts it again when it needs it.
end_pause_process() {
    local file=$RUNTIME_DIRECTORY/ipylti/libpod/pause.pid
    [[ -r $file ]] || return 0
    pgrep -u "$EUID" -x 'podman|conmon' >/dev/null && return 0
    kill "$(<"$file")" 2>/dev/null || true
}
