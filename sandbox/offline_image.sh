#!/bin/sh
# The sandbox's image where no container registry can be reached: a Debian base and wheels,
# from a Debian mirror and a Python index, in about two minutes.
#
#   offline_image.sh FOLDER [PACKAGE...]
#
# makes FOLDER/wheels and the image codeact-base in the engine of DOCKER_HOST. Then build with
#   codeact sandbox build image.base_image=codeact-base image.wheels=FOLDER/wheels
# Needs root, mmdebstrap (apt-get install mmdebstrap), docker, and a Python 3.11 with pip: the
# wheels must fit the Python of the Debian release below.
set -eu

folder=${1:?usage: offline_image.sh FOLDER [PACKAGE...]}
shift
release=bookworm
python=${PYTHON:-python3.11}
[ $# -gt 0 ] || set -- ipython numpy pandas scipy sympy "math-verify[antlr4_9_3]"

mkdir -p "$folder/wheels"
"$python" -m pip wheel --quiet --disable-pip-version-check --wheel-dir "$folder/wheels" "$@"

# MIRROR names a Debian mirror; by default the usual one.
mmdebstrap --quiet --variant=minbase --include=python3-minimal,python3-venv,ca-certificates \
    "$release" - ${MIRROR:+"$MIRROR"} | docker import - codeact-base >/dev/null
echo "codeact sandbox build image.base_image=codeact-base image.wheels=$folder/wheels"
