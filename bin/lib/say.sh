# Messages, and long steps with the time they take.
# shellcheck shell=bash

# say TEXT...: one line for the person at the terminal.
say() { printf '%s\n' "$*"; }

# fail TEXT...: say what is missing and end with status 1.
fail() {
    printf 'ipylti: %s\n' "$*" >&2
    exit 1
}

# step TITLE ON_FAILURE COMMAND...: run a long command, its output in a log.
#
# While it runs a terminal shows the seconds that have passed; at its end there is a line with the time it took. If
# it fails, the log's last lines and the sentence ON_FAILURE are shown and the script ends. LOG_DIRECTORY (set by
# account.sh) says where the log goes.
step() {
    local title=$1 on_failure=$2 began=$SECONDS status=0 ticker='' log
    shift 2
    mkdir -p "$LOG_DIRECTORY"
    log=$(mktemp "$LOG_DIRECTORY/step.XXXXXX")
    if [[ -t 1 ]]; then
        step_ticker "$title" "$$" &
        ticker=$!
    else
        say "         $title …"
    fi
    # In a subshell of its own, so that `set -e` holds inside functions too.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [[ $ticker ]]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        printf '\r\033[K'
    fi
    if ((status == 0)); then
        say "[$(printf %4d $((SECONDS - began))) s] $title: done"
        rm -f "$log"
        return 0
    fi
    {
        printf '[%4d s] %s: failed (status %d). The last lines of %s:\n' $((SECONDS - began)) "$title" "$status" "$log"
        tail -n 25 "$log" | sed 's/^/    /'
    } >&2
    fail "$on_failure"
}

# step_ticker TITLE PID: rewrite one terminal line each second for as long as the process lives.
step_ticker() {
    local began=$SECONDS
    trap 'exit 0' TERM
    while kill -0 "$2" 2>/dev/null; do
        printf '\r[%4d s] %s …' $((SECONDS - began)) "$1"
        sleep 1
    done
}
