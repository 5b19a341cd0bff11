# The program, where systemd and the person at the shell find it, and what root has to do once for it.
# shellcheck shell=bash

readonly COMMAND=/usr/local/bin/ipylti

# prepare_for_service: have what runs under systemd start at boot, and be reached at the usual ports. Needs root.
prepare_for_service() {
    [[ -d /run/systemd/system ]] || return 0
    if [[ ! -e /var/lib/systemd/linger/$ACCOUNT ]]; then
        say "Letting '$ACCOUNT' run services from boot on"
        privileged loginctl enable-linger "$ACCOUNT"
    fi
    if (($(</proc/sys/net/ipv4/ip_unprivileged_port_start) > 80)); then
        say "Letting unprivileged users listen on ports 80 and above (/etc/sysctl.d/50-ipylti.conf)"
        echo net.ipv4.ip_unprivileged_port_start=80 | privileged tee /etc/sysctl.d/50-ipylti.conf >/dev/null
        privileged sysctl --quiet --load=/etc/sysctl.d/50-ipylti.conf
    fi
    if ! cmp -s <(write_command) "$COMMAND"; then
        say "Writing the command 'ipylti' ($COMMAND)"
        write_command | privileged install -m 0755 /dev/stdin "$COMMAND"
    fi
}

# write_command: print the command `ipylti`, which becomes the account, as bin/host run does, wherever it is called.
write_command() {
    cat <<END
#!/bin/sh
# Written by bin/host setup: ipylti, as the user under which it runs.
set -eu
umask 077
set -- env XDG_RUNTIME_DIR=$RUNTIME_DIRECTORY XDG_CONFIG_HOME=$STATE/podman/config \\
    DBUS_SESSION_BUS_ADDRESS=unix:path=$RUNTIME_DIRECTORY/bus PYTHONPATH=$STATE/current \\
    SUDO_USER="\${SUDO_USER:-\$(id -un)}" \\
    $STATE/venv/bin/python -P -m ipylti.cli "\$@"
case \$(id -u) in
    $ACCOUNT_UID) exec "\$@" ;;
    0) exec setpriv --reuid $ACCOUNT_UID --regid $(id -g "$ACCOUNT") --init-groups --reset-env "\$@" ;;
    *) echo "ipylti: this needs root: sudo ipylti" >&2 && exit 1 ;;
esac
END
}

# install_program: copy the program to a place named after what is in it, and have \$STATE/current lead there.
#
# What runs goes on with the copy that it was started from, until `ipylti install` starts it anew. Run as the account.
install_program() {
    local release
    release=$STATE/releases/$(program_inputs | sha256sum | cut -c1-16)
    mkdir -p "$STATE/releases"
    [[ -d $release ]] || with_lock program copy_program "$release"
    touch "$release"
    ln -sfn "$release" "$STATE/current.new"
    mv -T "$STATE/current.new" "$STATE/current"
    # Two earlier ones stay, to go back to, and what units still name.
    local old
    while read -r old; do
        grep -qsF "$old" "$ACCOUNT_HOME"/.config/systemd/user/ipylti-* || rm -rf "$old"
    done < <(find "$STATE/releases" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2-)
}

# program_inputs: print everything that the program is made of.
program_inputs() {
    (cd "$CHECKOUT" && find ipylti containers/systemd traefik docs -type f -not -path '*/__pycache__/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum)
}

# copy_program RELEASE: see install_program.
copy_program() {
    local new
    [[ ! -d $1 ]] || return 0
    new=$(mktemp -d "$STATE/releases/.new.XXXXXX")
    tar -C "$CHECKOUT" --exclude=__pycache__ -cf - ipylti containers/systemd traefik docs | tar -C "$new" -xf -
    "$VENV/bin/python" -m compileall -q "$new/ipylti"
    chmod 0755 "$new"
    mv -T "$new" "$1"
}
