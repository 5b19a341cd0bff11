# The distribution's packages: which are needed, which are missing, installing those.
# shellcheck shell=bash

# require_distribution: set DISTRIBUTION, RELEASE (the version's first number) and CODENAME, or say what is supported.
require_distribution() {
    local version
    # shellcheck disable=SC2034  # image.sh reads CODENAME
    { read -r DISTRIBUTION && read -r version && read -r CODENAME; } < <(
        . /etc/os-release && printf '%s\n' "${ID:-unknown}" "${VERSION_ID:-0}" "${VERSION_CODENAME:-}"
    )
    RELEASE=${version%%.*}
    case $DISTRIBUTION in
        debian) ((RELEASE >= 12)) && return 0 ;;
        ubuntu) ((RELEASE >= 24)) && return 0 ;;
    esac
    fail "Debian 12 or Ubuntu 24.04 (or newer) is needed; this is '$DISTRIBUTION $version'."
}

# unified_cgroups: whether the host has cgroup v2 and nothing else.
unified_cgroups() { [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; }

# packages_for GROUP...: print the packages of the groups: python, containers, redis, postgresql, browser.
packages_for() {
    local group
    for group in "$@"; do
        case $group in
            python) echo python3 python3-venv ca-certificates ;;
            containers)
                echo podman uidmap slirp4netns fuse-overlayfs iptables netavark aardvark-dns catatonit mmdebstrap procps
                # crun 1.8 refuses hybrid cgroups.
                if unified_cgroups; then echo crun; else echo runc; fi
                # Podman 5 has pasta as the rootless network instead of slirp4netns.
                if [[ $DISTRIBUTION == debian ]] && ((RELEASE >= 13)) || ((RELEASE >= 25)); then echo passt; fi
                # A user manager, whose cgroups rootless Podman needs for limits, is reached over D-Bus.
                if [[ -d /run/systemd/system ]]; then echo dbus-user-session; fi
                ;;
            redis) echo redis-server ;;
            postgresql) echo postgresql ;;
            browser)
                if [[ $DISTRIBUTION == debian ]]; then
                    echo chromium fonts-liberation
                else
                    # Ubuntu's chromium is a snap, which needs snapd and sees no other user's files. Playwright's own
                    # build is used there; these are the libraries that it loads.
                    echo fonts-liberation libasound2t64 libatk-bridge2.0-0t64 libatk1.0-0t64 libcairo2 libcups2t64 \
                        libdrm2 libgbm1 libnspr4 libnss3 libpango-1.0-0 libxcomposite1 libxdamage1 libxfixes3 \
                        libxkbcommon0 libxrandr2
                fi
                ;;
            *) fail "no package group is called '$group'" ;;
        esac
    done | tr ' ' '\n'
}

# missing_packages NAME...: print those that are not installed.
missing_packages() {
    comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

# privileged COMMAND...: run a command as root, through sudo where that is needed.
privileged() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        fail "this needs root: $*. Run the script as root, or install sudo and give it to '$(id -un)'."
    fi
}

# ensure_packages GROUP...: install what the groups need and the machine lacks; say what that is.
ensure_packages() {
    local wanted missing
    mapfile -t wanted < <(packages_for "$@")
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    ((${#missing[@]})) || return 0
    say "Packages to install: ${missing[*]}"
    # Asks for the password here, where the person sees the question, and not inside a step.
    ((EUID == 0)) || privileged true ||
        fail "these packages need root: run this as root or as a user with sudo, or have them installed."
    step "Installing ${#missing[@]} packages" \
        "Not all packages could be installed: ${missing[*]}. Check the package sources (apt-get update) and run this again." \
        install_packages "${missing[@]}"
}

# install_packages NAME...: through apt, without starting the services that some of them bring.
#
# ipylti runs its own Redis and, for tests, its own PostgreSQL. SYSTEMD_OFFLINE makes `systemctl start` in the
# packages' scripts do nothing, and what they enable is disabled again; a service that was there before stays.
install_packages() {
    local apt=(env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get -y -o DPkg::Lock::Timeout=300
        -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
    local name service
    # An earlier run may have been killed in the middle of dpkg's work.
    privileged env DEBIAN_FRONTEND=noninteractive dpkg --configure -a || true
    # A source of somebody else's that does not answer must not stop what can be had from the others.
    privileged "${apt[@]}" update || true
    privileged "${apt[@]}" install --no-install-recommends "$@"
    for name in "$@"; do
        case $name in
            redis-server) service=redis-server.service ;;
            postgresql) service=postgresql.service ;;
            *) continue ;;
        esac
        [[ ! -d /run/systemd/system ]] || privileged systemctl disable "$service" || true
    done
}
