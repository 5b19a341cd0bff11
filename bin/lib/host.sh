# Everything that bin/demo, bin/test and bin/host share: source this file.
#
# A script runs in two halves. Started as root it does what needs root, copies the checkout and starts itself
# again from the copy as the unprivileged user (enter_account); as that user it then finds nothing left to do
# for root. Started as an ordinary user it uses sudo for what needs root, and goes on in the checkout itself.
# shellcheck shell=bash

set -euo pipefail
# Some callers close it, and what is started below expects one.
{ : <&0; } 2>/dev/null || exec </dev/null
CHECKOUT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

for part in say packages account checkout podman python image machine program run; do
    # shellcheck source=/dev/null
    . "$CHECKOUT/bin/lib/$part.sh"
done
unset part

# with_lock NAME COMMAND...: run a command while no other process of the account runs under that name.
#
# The command must not leave a daemon behind, which would keep the lock.
with_lock() {
    local name=$1
    shift
    mkdir -p "$STATE/lock"
    exec {lock}>"$STATE/lock/$name"
    if ! flock -n "$lock"; then
        say "         Waiting for another run that prepares the same ($name)"
        flock "$lock"
    fi
    # What the command starts inherits the lock: where this script is killed and its child goes on, the next run
    # waits for that. Not in a condition, since bash would ignore `set -e` in all that the command does.
    "$@"
    exec {lock}>&-
}

# enter_account SCRIPT GROUPS ARGUMENT...: install the package groups (comma-separated), then go on as the account.
#
# Returns if this process already is the account's, with its environment set; otherwise it becomes SCRIPT,
# a path inside the checkout.
enter_account() {
    local script=$1 wanted
    IFS=, read -ra wanted <<<"$2"
    shift 2
    require_distribution
    choose_account
    ensure_packages "${wanted[@]}"
    ensure_subordinate_ids
    ensure_runtime_directory
    [[ " ${wanted[*]} " != *" containers "* ]] || ensure_devices
    if ((EUID == 0)); then
        CHECKOUT=$(stage_checkout)
        become_account "$CHECKOUT/$script" "$@"
    fi
    hold_checkout
    local pair
    while read -r -d '' pair; do
        export "${pair?}"
    done < <(account_environment)
    mkdir -p "$STATE/log"
    configure_podman
}

# python_environment: have Python find the checkout's ipylti and tests, and the commands of the environment.
python_environment() {
    export PYTHONPATH=$CHECKOUT PATH=$VENV/bin:$PATH PYTHONDONTWRITEBYTECODE=1
    cd "$CHECKOUT"
}
