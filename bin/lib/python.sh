# The virtual environment with everything that ipylti needs.
# shellcheck shell=bash

# The distribution's interpreter: the first python3 on a PATH may lie in a home that the account can't read.
readonly PYTHON=/usr/bin/python3

# ensure_venv: make or update the virtual environment in the state directory. Run as the account.
ensure_venv() {
    local wanted
    VENV=$STATE/venv
    wanted=$({
        cat "$CHECKOUT/setup.py"
        "$PYTHON" -V
    } | sha256sum | cut -c1-16)
    [[ $(cat "$VENV/.ready" 2>/dev/null) == "$wanted" ]] && return 0
    with_lock venv build_venv "$wanted"
}

# build_venv HASH: see ensure_venv. The file .ready is there only while the environment is whole.
build_venv() {
    [[ $(cat "$VENV/.ready" 2>/dev/null) == "$1" ]] && return 0
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed; $PYTHON is $("$PYTHON" -V)."
    step "Installing the Python packages" \
        "pip could not install ipylti's requirements. Is the package index reachable (PIP_INDEX_URL, PIP_CERT, proxies)?" \
        fill_venv "$1"
}

# fill_venv HASH: install ipylti and its extras. An environment that was left half done is made anew.
#
# The installed copy of ipylti serves its metadata and console script; PYTHONPATH puts the checkout before it.
fill_venv() {
    local source
    [[ -e $VENV/.ready ]] || rm -rf "$VENV"
    rm -f "$VENV/.ready"
    [[ -x $VENV/bin/pip ]] || "$PYTHON" -m venv "$VENV"
    source=$(mktemp -d)
    cp -r "$CHECKOUT/setup.py" "$CHECKOUT/pyproject.toml" "$CHECKOUT/ipylti" "$source/"
    "$VENV/bin/pip" install --disable-pip-version-check --upgrade "${source}[traefik,postgresql,test]"
    rm -rf "$source"
    printf '%s\n' "$1" >"$VENV/.ready.new"
    mv "$VENV/.ready.new" "$VENV/.ready"
}

# ensure_browser: where the distribution has no Chromium for us (Ubuntu), have Playwright fetch its own.
ensure_browser() {
    [[ -x /usr/bin/chromium ]] && return 0
    local cache=${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}
    compgen -G "$cache/chromium*/INSTALLATION_COMPLETE" >/dev/null && return 0
    with_lock browser step "Fetching a browser for the tests" \
        "Playwright could not fetch Chromium, which the browser tests need." \
        "$VENV/bin/playwright" install chromium
}
