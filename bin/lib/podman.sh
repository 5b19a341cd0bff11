# Rootless Podman for ipylti: configuration files of its own, so that nobody's are touched.
# shellcheck shell=bash

# podman_environment: print, NUL-separated, the variables that point Podman at ipylti's configuration.
podman_environment() {
    printf '%s\0' \
        "CONTAINERS_CONF=${CONTAINERS_CONF:-$STATE/podman/containers.conf}" \
        "CONTAINERS_STORAGE_CONF=${CONTAINERS_STORAGE_CONF:-$STATE/podman/storage.conf}"
}

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
    mkdir -p "$STATE/podman"
    # Without an explicit driver Podman may silently choose vfs, a full copy of the image for each container.
    # Rootless, the place of the storage is rootless_storage_path; graphroot is read by root only.
    write_if_changed "$STATE/podman/storage.conf" <<END
[storage]
driver = "overlay"
rootless_storage_path = "$STATE/podman/storage"
runroot = "$RUNTIME_DIRECTORY/ipylti/containers"
END
    write_if_changed "$STATE/podman/containers.conf" < <(containers_conf)
}

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
