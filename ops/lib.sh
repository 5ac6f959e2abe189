# Sourced by the scripts beside it: an environment with exactly the locked packages, whoever runs them and from where.
# Safe to run twice, and twice at once.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

find_python() {
    local name
    for name in "${ILIM_PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
        if [ -n "$name" ] && command -v "$name" >/dev/null &&
            "$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is needed (set ILIM_PYTHON to one)" >&2
    return 2
}

# Beside the code when that can be written, else in the user's cache, a directory per checkout.
venv_directory() {
    if [ -w "$root" ]; then
        echo "$root/.venv"
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/ilim/$(printf %s "$root" | cksum | cut -d' ' -f1)"
    fi
}

# ensure_venv LOCKFILE: packages exactly as locked, installed when they are missing or the lock has changed.
ensure_venv() {
    local lock="$root/$1" python stamp wanted
    python="$(find_python)"
    venv="$(venv_directory)"
    stamp="$venv/.locked-$1"
    wanted="$(cat "$lock" | cksum) $("$python" -c 'import sys; print(*sys.version_info[:2])')"
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ ! -x "$venv/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing the locked packages into $venv (once) …" >&2
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        # Every file is named with its hash, so nothing else can come in, not even as a dependency. `python -m pip`:
        # the script's first line may be too long for the kernel in a deep directory.
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" >&2
        echo "$wanted" >"$stamp"
    fi
    exec 9>&-
    export PATH="$venv/bin:$PATH" PYTHONPATH="$root" VIRTUAL_ENV="$venv"
    unset PYTHONHOME
}
