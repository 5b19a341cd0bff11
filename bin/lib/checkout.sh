# The checkout as the account can read it.
# shellcheck shell=bash

# stage_checkout: as root, copy the checkout (without .git) to where the account can read it; print the copy's path.
stage_checkout() {
    local copy
    as_account mkdir -p "$STATE/copies"
    copy=$(as_account mktemp -d "$STATE/copies/XXXXXXXX")
    tar -C "$CHECKOUT" --exclude=./.git --exclude='*.egg-info' --exclude=__pycache__ --exclude='./.*_cache' \
        --exclude=./build --exclude=./dist --exclude=./.venv -cf - . |
        as_account tar -C "$copy" --no-same-permissions -xf -
    printf %s "$copy"
}

# hold_checkout: mark a copy as in use until the process that this script becomes has ended; remove unused ones.
hold_checkout() {
    [[ $CHECKOUT == "$STATE"/copies/* ]] || return 0
    exec 8<"$CHECKOUT"
    flock -s 8
    # The age spares a copy that another run has made but not marked yet.
    find "$STATE/copies" -mindepth 1 -maxdepth 1 -type d -mmin +10 -exec flock -n {} rm -rf {} \; 8<&-
}

# leave_checkout: remove this run's copy.
leave_checkout() {
    [[ $CHECKOUT == "$STATE"/copies/* ]] || return 0
    cd /
    rm -rf "$CHECKOUT"
}
