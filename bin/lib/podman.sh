# Rootless Podman for ipylti: configuration files of its own, so that nobody's are touched.
# shellcheck shell=bash

# podman_environment: print, NUL-separated, the variable that points Podman at ipylti's configuration.
#
# CONTAINERS_STORAGE_CONF would not do: rootless Podman takes no runroot from that file, and two storages that share
# one lose count of what is mounted.
podman_environment() { printf '%s\0' "XDG_CONFIG_HOME=$STATE/podman/config"; }

# write_if_changed FILE: put standard input into FILE, all of it or nothing, and only if it differs.
write_if_changed() {
    local temporary
    temporary=$(mktemp "$1.XXXXXX")
    cat >"$temporary"
    if cmp -s "$temporary" "$1"; then
        rm -f "$temporary"
    else
        chmod 0644 "$temporary"
        mv -f "$temporary" "$1"
    fi
}

# configure_podman: write storage.conf and containers.conf for this host. Run as the account.
configure_podman() {
    local config=$STATE/podman/config/containers own=$ACCOUNT_HOME/.config file
    mkdir -p "$config"
    # Without an explicit driver Podman may silently choose vfs, a full copy of the image for each container.
    write_if_changed "$config/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$STATE/podman/graph"
runroot = "$RUNTIME_DIRECTORY/ipylti/containers"
END
    write_if_changed "$config/containers.conf" < <(containers_conf)
    # What the person has set up of mirrors, and for pip, counts here too.
    for file in containers/registries.conf containers/registries.conf.d containers/policy.json containers/certs.d pip; do
        [[ ! -e $own/$file ]] || ln -sfn "$own/$file" "$STATE/podman/config/$file"
    done
}

# configure_rootful_podman: have Podman, as root, keep what it makes for tests apart from what is the host's own.
configure_rootful_podman() {
    local place=/var/lib/ipylti-tests RUNTIME_DIRECTORY=/run/ipylti-tests
    mkdir -p "$place" "$RUNTIME_DIRECTORY"
    write_if_changed "$place/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$place/graph"
runroot = "$RUNTIME_DIRECTORY/containers"
END
    # Root can't raise limits of its own everywhere, and Podman's would be higher.
    write_if_changed "$place/containers.conf" < <(
        containers_conf | sed '/^\[containers\]/a default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]'
    )
    export CONTAINERS_STORAGE_CONF=$place/storage.conf CONTAINERS_CONF=$place/containers.conf
}

# provide_notebook_image: have root's Podman hold the notebook image that the account built.
provide_notebook_image() {
    local built
    built=$(as_account podman image inspect --format '{{.Id}}' "$NOTEBOOK_IMAGE")
    [[ $(podman image inspect --format '{{.Id}}' "$NOTEBOOK_IMAGE" 2>/dev/null) == "$built" ]] && return 0
    step "Handing the notebook image to root's Podman" "The notebook image could not be loaded by root's Podman." \
        hand_image_over
}

# hand_image_over: see provide_notebook_image.
hand_image_over() { as_account podman save --quiet "$NOTEBOOK_IMAGE" | podman load --quiet; }

# containers_conf: print containers.conf for this host.
containers_conf() {
    local runtime=crun manager=cgroupfs
    # crun 1.8 refuses hybrid cgroups ("drop all controllers from cgroupv2").
    unified_cgroups || runtime=runc
    if unified_cgroups && [[ -S $RUNTIME_DIRECTORY/bus ]]; then manager=systemd; fi
    cat <<END
[containers]
log_driver = "k8s-file"
log_size_max = 10485760

[engine]
runtime = "$runtime"
cgroup_manager = "$manager"
events_logger = "file"
tmp_dir = "$RUNTIME_DIRECTORY/ipylti/libpod"

[network]
network_backend = "netavark"
END
}
