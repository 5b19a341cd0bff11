# The notebook image, and its base where no registry can be reached.
# shellcheck shell=bash

readonly NOTEBOOK_IMAGE=localhost/ipylti-notebook:latest
# The same JupyterLab as pip installs it, for bin/bench to measure against.
readonly PLAIN_IMAGE=localhost/ipylti-notebook-plain:latest
readonly PUBLIC_BASE=debian:bookworm-slim
# What a bootstrapped base has besides the distribution's essential packages.
readonly BASE_PACKAGES=ca-certificates,python3,python3-venv

# ensure_image [IMAGE]: build the notebook image, or the plain one, unless it is there, made of the same inputs.
#
# IPYLTI_IMAGE_ARCHIVE may name what `podman save` wrote on another machine, of the same version: it is tried first, and
# then nothing need be reachable from here. Run as the account.
ensure_image() {
    local image=${1:-$NOTEBOOK_IMAGE} wanted
    wanted=$(image_inputs | sha256sum | cut -c1-16)
    [[ $(image_label "$image" io.ipylti.build) == "$wanted" ]] && return 0
    # Before the lock: it starts the process that keeps the user's namespace, which outlives this script.
    require_overlay
    with_lock image build_image "$image" "$wanted"
}

# image_inputs: print everything that the image is made of.
image_inputs() {
    (cd "$CHECKOUT/containers/notebook" && find . -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    printf '%s\n' "${BASE_IMAGE:-$PUBLIC_BASE}" "$BASE_PACKAGES"
}

# image_label IMAGE LABEL: print an image's label, or nothing.
image_label() { podman image inspect --format "{{index .Labels \"$2\"}}" "$1" 2>/dev/null || true; }

# build_image IMAGE HASH: see ensure_image.
build_image() {
    [[ $(image_label "$1" io.ipylti.build) == "$2" ]] && return 0
    if [[ ${IPYLTI_IMAGE_ARCHIVE:-} ]]; then
        step "Loading images from $IPYLTI_IMAGE_ARCHIVE" "Podman could not load $IPYLTI_IMAGE_ARCHIVE." \
            podman load --quiet --input "$IPYLTI_IMAGE_ARCHIVE"
        [[ $(image_label "$1" io.ipylti.build) == "$2" ]] && return 0
        say "         $IPYLTI_IMAGE_ARCHIVE holds no image of this version; it will be built"
    fi
    choose_base
    step "Building the image ${1#localhost/}" \
        "The image could not be built from '$BASE'. Are the package index and the distribution's packages reachable?" \
        podman_build "$1" "$2"
}

# require_overlay: end here if Podman does not work, or would copy the whole image for each container.
require_overlay() {
    local driver ask=(podman info --format '{{.Store.GraphDriverName}}')
    # After all processes of the account were killed, Podman waits for those of its containers until it is told.
    driver=$("${ask[@]}" 2>/dev/null) ||
        { podman system migrate >/dev/null 2>&1; driver=$("${ask[@]}"); } ||
        fail "Podman does not work for '$(id -un)'; its message stands above."
    [[ $driver == overlay ]] ||
        fail "Podman's storage driver here is '$driver', not overlay: $STATE must lie on a file system that takes overlay, such as ext4 or xfs."
}

# choose_base: set BASE to what the image is built on: BASE_IMAGE, the public base, or one made of packages.
choose_base() {
    BASE=${BASE_IMAGE:-}
    [[ $BASE ]] && return 0
    BASE=localhost/ipylti-base:$CODENAME
    [[ $(image_label "$BASE" io.ipylti.packages) == "$BASE_PACKAGES" ]] && return 0
    say "         Fetching $PUBLIC_BASE (60 s at most)"
    if timeout 60 podman pull --quiet "$PUBLIC_BASE" >/dev/null 2>&1; then
        BASE=$PUBLIC_BASE
        return 0
    fi
    say "         No registry answers; the base will be made of $DISTRIBUTION's packages"
    step "Making a base image of $DISTRIBUTION's packages" \
        "No registry could be reached for $PUBLIC_BASE, and mmdebstrap could not make a base from $DISTRIBUTION's packages." \
        bootstrap_base
}

# bootstrap_base: make $BASE with mmdebstrap, as an ordinary user in a user namespace.
bootstrap_base() {
    local components=main directory=/var/tmp/ipylti-base.$EUID
    [[ $DISTRIBUTION == debian ]] || components=main,universe
    # Not below the home: the ids of the namespace are other users to it. What an interrupted run left there
    # belongs to them, so it is removed from inside a namespace.
    [[ ! -O $directory ]] || podman unshare rm -rf "$directory"
    mkdir -m 0711 "$directory"
    TMPDIR=$directory mmdebstrap --mode=unshare --variant=minbase --components="$components" --format=tar \
        --include="$BASE_PACKAGES" --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' "$CODENAME" - >"$directory/base.tar"
    podman import --change "LABEL io.ipylti.packages=$BASE_PACKAGES" --change "CMD /bin/bash" \
        "$directory/base.tar" "$BASE"
    podman unshare rm -rf "$directory"
}

# podman_build IMAGE HASH: build with the host's network, certificates and pip settings; none of them stay in the image.
podman_build() {
    local options=(--network host --format oci --label "io.ipylti.build=$2" --build-arg "BASE_IMAGE=$BASE")
    local authorities=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}} name
    [[ ! -r $authorities ]] || options+=(--secret "id=authorities,src=$authorities")
    for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
        [[ ! -v $name ]] || options+=(--build-arg "$name=${!name}")
    done
    [[ $1 != "$PLAIN_IMAGE" ]] || options+=(--file "$CHECKOUT/containers/notebook/plain.Containerfile")
    podman build "${options[@]}" --tag "$1" "$CHECKOUT/containers/notebook"
}
