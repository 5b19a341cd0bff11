# The unprivileged user, its directories, and running commands as that user.
# shellcheck shell=bash disable=SC2034

readonly SERVICE_USER=ipylti

# choose_account: set ACCOUNT, ACCOUNT_UID, STATE, LOG_DIRECTORY and RUNTIME_DIRECTORY. Quick and repeatable.
#
# Started as root, the account is `ipylti`, which is made here if it does not exist; otherwise it is whoever
# started the script.
choose_account() {
    if ((EUID == 0)); then
        ACCOUNT=$SERVICE_USER
        ensure_user
    else
        ACCOUNT=$(id -un)
    fi
    ACCOUNT_UID=$(id -u "$ACCOUNT")
    ACCOUNT_HOME=$(getent passwd "$ACCOUNT" | cut -d: -f6)
    STATE=${IPYLTI_HOME:-$ACCOUNT_HOME/.local/share/ipylti}
    RUNTIME_DIRECTORY=/run/user/$ACCOUNT_UID
    if ((EUID == 0)); then
        LOG_DIRECTORY=/var/log/ipylti
    else
        LOG_DIRECTORY=$STATE/log
        [[ ! -O ${XDG_RUNTIME_DIR:-} ]] || RUNTIME_DIRECTORY=$XDG_RUNTIME_DIR
    fi
}

# ensure_user: make the unprivileged user. Two scripts that start at once wait for each other.
ensure_user() {
    id -u "$SERVICE_USER" >/dev/null 2>&1 && return 0
    (
        flock 9
        id -u "$SERVICE_USER" >/dev/null 2>&1 && exit 0
        say "Making the user '$SERVICE_USER', under which everything runs"
        useradd --create-home --home-dir "/home/$SERVICE_USER" --shell /bin/bash --comment 'ipylti' "$SERVICE_USER"
    ) 9>/run/lock/ipylti-user.lock
}

# ensure_subordinate_ids: rootless containers need 65,536 ids of their own; useradd gives them to new users.
ensure_subordinate_ids() {
    local file option
    for file in /etc/subuid /etc/subgid; do
        grep -qE "^($ACCOUNT|$(id -u "$ACCOUNT")):" "$file" 2>/dev/null && continue
        say "Giving '$ACCOUNT' a range of ids for its containers ($file)"
        if [[ $file == /etc/subuid ]]; then option=--add-subuids; else option=--add-subgids; fi
        privileged usermod "$option" "$(free_id_range "$file")" "$ACCOUNT"
    done
}

# free_id_range FILE: print a range of 65,536 ids above all that FILE has given away.
free_id_range() {
    awk -F: 'BEGIN { first = 100000 } $2 + $3 > first { first = $2 + $3 } END { print first "-" first + 65535 }' "$1" 2>/dev/null ||
        echo 100000-165535
}

# ensure_runtime_directory: have RUNTIME_DIRECTORY, the XDG_RUNTIME_DIR of the account, exist.
#
# Where systemd runs, its user manager makes the directory, and brings the cgroups that resource limits need.
ensure_runtime_directory() {
    if [[ -d /run/systemd/system && ! -S $RUNTIME_DIRECTORY/bus ]]; then
        privileged systemctl start "user@$ACCOUNT_UID.service" ||
            say "systemd did not start a user manager for '$ACCOUNT'; containers will run without resource limits"
    fi
    [[ -d $RUNTIME_DIRECTORY ]] ||
        privileged install -d -m 0700 -o "$ACCOUNT" -g "$(id -g "$ACCOUNT")" "$RUNTIME_DIRECTORY"
}

# ensure_devices: slirp4netns opens /dev/net/tun and fuse-overlayfs /dev/fuse, as whoever runs them.
#
# udev gives both to everybody (50-udev-default.rules); where no udev runs, the kernel leaves them to root.
ensure_devices() {
    local device
    for device in /dev/net/tun /dev/fuse; do
        [[ -c $device ]] || continue
        as_account test -r "$device" -a -w "$device" && continue
        say "Giving everybody access to $device, as udev would"
        privileged chmod 0666 "$device"
    done
}

# account_environment: print, NUL-separated, the NAME=VALUE pairs that commands of the account get.
#
# What the network and the package index need is passed on (proxies, certificates, pip's settings), and what is
# meant for ipylti; nothing else of root's environment is.
account_environment() {
    local name
    while read -r name; do
        case $name in
            PIP_* | IPYLTI_* | BASE_IMAGE | CI | *_proxy | *_PROXY | SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | \
                CURL_CA_BUNDLE | NODE_EXTRA_CA_CERTS | TERM | COLUMNS | NO_COLOR | LANG | LC_* | TZ | PYTEST_* | HYPOTHESIS_*)
                printf '%s=%s\0' "$name" "${!name}"
                ;;
        esac
    done < <(compgen -e)
    printf '%s\0' "XDG_RUNTIME_DIR=$RUNTIME_DIRECTORY" "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    if [[ -S $RUNTIME_DIRECTORY/bus ]]; then
        printf '%s\0' "DBUS_SESSION_BUS_ADDRESS=unix:path=$RUNTIME_DIRECTORY/bus"
    fi
    podman_environment
}

# become_account COMMAND...: replace this process by the command, run as the account in a clean environment.
become_account() {
    local pairs
    mapfile -d '' -t pairs < <(account_environment)
    if ((EUID == 0)); then
        cd /
        exec setpriv --reuid "$ACCOUNT_UID" --regid "$(id -g "$ACCOUNT")" --init-groups --reset-env env "${pairs[@]}" "$@"
    fi
    exec env "${pairs[@]}" "$@"
}

# as_account COMMAND...: the same, in a process of its own.
as_account() { (become_account "$@"); }
