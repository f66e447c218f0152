#!/bin/sh
# The sandbox's image where no container registry can be reached: a Debian base and wheels, from a
# Debian mirror and a Python index.
#
#   offline_image.sh FOLDER [REQUIREMENT...]
#
# makes FOLDER/wheels and the image codeact-base in the engine of DOCKER_HOST, and prints the command
# that builds the sandbox's image of them. Without requirements it takes those of conf/sandbox.yaml.
# The wheels are made by the base's own Python, so they fit it, whatever Python this machine has.
#
# Debian's packages come from where this machine's apt has them, if it is a Debian, else from
# mmdebstrap's usual mirror; RELEASE and MIRROR name others. Wheels come from where this machine's
# pip has them (`pip config list`, PIP_* variables, proxies); PYTHON names the Python with that pip.
# Needs mmdebstrap (apt-get install mmdebstrap), docker, and root or user namespaces.
set -eu

fail() {
    echo "offline_image: $*" >&2
    exit 1
}

[ $# -gt 0 ] || fail "usage: offline_image.sh FOLDER [REQUIREMENT...]"
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
for program in mmdebstrap docker "$python"; do
    command -v "$program" >/dev/null || fail "$program is not here: install it (apt-get install \
mmdebstrap docker.io python3-pip)"
done
docker version >/dev/null || fail "no engine answers at ${DOCKER_HOST:-the usual socket}"
if [ $# -eq 0 ]; then
    file=$here/../conf/sandbox.yaml
    [ -f "$file" ] || fail "$file is not here: name the requirements"
    # The items of the list `packages:`.
    list=$(sed -n '/^  packages:/,/^  [a-z]/s/^    - *//p' "$file")
    [ -n "$list" ] || fail "$file asks for no packages"
    set -f
    # shellcheck disable=SC2086
    set -- $list
    set +f
fi

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d "$folder/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# -- where Debian's packages come from
host=
[ ! -r /etc/os-release ] || host=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") || host=
release=${RELEASE:-${host:-bookworm}}
mirror=${MIRROR:-}
if [ -z "$mirror" ] && [ "$release" = "$host" ]; then
    # Of this machine's own sources, those of the distribution itself.
    suite="$release(-updates|-security)?"
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [ -f "$source" ] && grep -Eq "^deb (\[.*\] )?[^ ]+ $suite (.* )?main\b|^Suites:(.* )?$suite( |\$)" \
            "$source" && grep -Eq '^deb |^Components:(.* )?main( |$)' "$source"; then
            mirror="$mirror $source"
        fi
    done
fi

# -- what pip is told here, for the pip in there
mkdir "$work/pip"
printf '%s\n' "$@" >"$work/pip/requirements.txt"
"$python" - "$work/pip" <<'PY' || fail "$python has no pip, whose settings say where wheels are"
import json, os, shutil, subprocess, sys
from pathlib import Path
from urllib.parse import urlsplit

work = Path(sys.argv[1])
listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE,
                        text=True, check=True).stdout
settings = {}
for line in listed.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    if section in ("global", ":env:", "wheel") and key not in ("user", "target", "prefix", "config-file"):
        settings[key.lower()] = value[1:-1].encode().decode("unicode_escape")
certificates = settings.pop("cert", None) or os.environ.get("SSL_CERT_FILE")
names = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
variables = {n: v for n, v in os.environ.items() if n.lower() in names}
folders = []
for key in ("find-links", "index-url", "extra-index-url", "constraint"):
    words = []
    for word in settings.get(key, "").split():
        path = Path(word[7:] if word.startswith("file://") else word)
        if path.is_absolute() and path.exists():
            # Of this machine: shown to the pip in there at the same place, and with what is beside
            # it, for an index's links lead there.
            index = key.endswith("index-url") and len(path.parents) > 1
            folders.append(str(path.parent if index or path.is_file() else path))
        elif path.is_absolute():
            continue
        words.append(word)
    if key in settings:
        settings[key] = " ".join(words)
for key, value in settings.items():
    if value:
        variables["PIP_" + key.upper().replace("-", "_")] = value
if certificates:
    shutil.copyfile(certificates, work / "certificates.pem")
    variables["PIP_CERT"] = "/codeact/pip/certificates.pem"
(work / "environment").write_text("".join(f"{n}={v}\0" for n, v in variables.items()))
(work / "folders").write_text("".join(f"{f}\n" for f in dict.fromkeys(folders)))
PY

# -- the base, and in it the wheels
cat >"$work/in_base.sh" <<'IN'
set -eu
cd /codeact
python3 -m venv venv
pip() {
    { cat pip/environment && printf '%s\0' venv/bin/pip --quiet --quiet \
        --disable-pip-version-check --no-cache-dir "$@"; } |
        xargs -0 env -i PATH=/usr/bin:/bin HOME=/codeact
}
# A Debian's own pip is old, and does not know every extra by its name: a new one comes along.
pip install --upgrade pip
pip wheel --wheel-dir wheels pip -r pip/requirements.txt
IN
cat >"$work/make_wheels.sh" <<'OUT'
set -eu
root=$1 work=$2
hide() {
    [ -f "$work/shown" ] || return 0
    while read -r shown; do
        umount "$root$shown"
    done <"$work/shown"
    rm "$work/shown"
}
trap hide EXIT
mkdir "$root/codeact"
cp -r "$work/pip" "$root/codeact/pip"
cp "$work/in_base.sh" "$root/codeact/in_base.sh"
while read -r shown; do
    mkdir -p "$root$shown"
    mount --bind "$shown" "$root$shown"
    echo "$shown" >>"$work/shown"
done <"$work/pip/folders"
chroot "$root" sh /codeact/in_base.sh
hide
while read -r shown; do
    rmdir -p "$root$shown" 2>/dev/null || true
done <"$work/pip/folders"
cp -r "$root/codeact/wheels" "$work/wheels"
rm -rf "$root/codeact"
OUT
quoted=$(printf '%s' "$work" | sed "s/'/'\\\\''/g")
# shellcheck disable=SC2086
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --customize-hook="sh '$quoted/make_wheels.sh' \"\$1\" '$quoted'" \
    "$release" "$work/base.tar" $mirror || fail "the base or the wheels could not be made"
[ -s "$work/base.tar" ] || fail "mmdebstrap made nothing"
docker import "$work/base.tar" codeact-base >/dev/null || fail "the engine did not take the base"
rm -rf "$folder/wheels"
mv "$work/wheels" "$folder/wheels"
# Quoted twice: for the shell, and for what reads overrides.
"$python" - "$folder/wheels" "$work/pip/requirements.txt" <<'PY'
import os, shlex, sys
from pathlib import Path

def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

engine = os.environ.get("DOCKER_HOST")
packages = ",".join(map(quoted, Path(sys.argv[2]).read_text().splitlines()))
words = ["codeact", "sandbox", "build", "image.base_image=codeact-base"]
words += [f"image.wheels={quoted(sys.argv[1])}", f"image.packages=[{packages}]"]
print(*([f"DOCKER_HOST={shlex.quote(engine)}"] if engine else []), *map(shlex.quote, words))
PY
