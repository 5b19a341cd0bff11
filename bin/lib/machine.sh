# The image of a machine with systemd, for the tests that install ipylti on it.
# shellcheck shell=bash

readonly MACHINE_IMAGE=localhost/ipylti-machine:latest

# ensure_machine_image: make the image with root's Podman, unless it is there, made of the same packages.
#
# It has what bin/host would install, so that the tests need no network.
ensure_machine_image() {
    local packages wanted
    packages=$({
        packages_for python containers redis
        printf '%s\n' systemd-sysv dbus dbus-user-session libpam-systemd sudo openssl
    } | sort -u | paste -sd,)
    wanted=$({
        printf '%s\n' "$packages" "$CODENAME"
        declare -f make_machine_image machine_setup
    } | sha256sum | cut -c1-16)
    [[ $(image_label "$MACHINE_IMAGE" io.ipylti.build) == "$wanted" ]] && return 0
    step "Making a machine with systemd of $DISTRIBUTION's packages" \
        "mmdebstrap could not make a machine from $DISTRIBUTION's packages." make_machine_image "$packages" "$wanted"
}

# make_machine_image PACKAGES HASH: see ensure_machine_image.
make_machine_image() {
    local directory components=main
    [[ $DISTRIBUTION == debian ]] || components=main,universe
    directory=$(mktemp -d /var/tmp/ipylti-machine.XXXXXX)
    machine_setup >"$directory/setup"
    TMPDIR=$directory mmdebstrap --variant=minbase --components="$components" --format=tar --include="$1" \
        --customize-hook="chroot \"\$1\" sh -eu <'$directory/setup'" --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' "$CODENAME" - >"$directory/machine.tar"
    podman import --change "LABEL io.ipylti.build=$2" "$directory/machine.tar" "$MACHINE_IMAGE"
    rm -rf "$directory"
}

# machine_setup: print what is done in it: a sysadmin, and no Redis of the distribution's.
machine_setup() {
    cat <<'END'
useradd --system --create-home --home-dir /srv/admin --shell /bin/bash admin
echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
systemctl disable redis-server.service
END
}
