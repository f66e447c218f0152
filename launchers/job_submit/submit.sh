#!/bin/sh
# Play a run on a Ray cluster that is there, as a job: its driver runs on the cluster's head.
#
#   submit.sh run_dir=/absolute/folder WORDS...     what `codeact run` takes; compute=ray is added
#
# RAY_ADDRESS         the head's dashboard, http://HOST:8265
# RAY_JOB_OPTIONS     further options of `ray job submit`, such as --no-wait
# CODEACT             the codeact of the nodes, where it is not on their PATH
#
# Nothing is uploaded: codeact is installed on the nodes, and paths are those of the head.
set -eu

refuse() {
    echo "submit.sh: $1" >&2
    exit 2
}

[ -n "${RAY_ADDRESS:-}" ] || refuse "set RAY_ADDRESS to the head's dashboard, http://HOST:8265"

run_dir=
for word in "$@"; do
    case $word in
    run_dir=/* | data=/* | cache=/*) ;;
    run_dir=* | data=* | cache=*)
        refuse "$word: a job has a working folder of its own, so give the absolute path on the head" ;;
    esac
    case $word in run_dir=*) run_dir=$word ;; esac
done
[ -n "$run_dir" ] || refuse "give run_dir=/absolute/folder on the head, so that the run can be resumed"

# RAY_JOB_OPTIONS are several words.
# shellcheck disable=SC2086
exec ray job submit ${RAY_JOB_OPTIONS:-} -- "${CODEACT:-codeact}" run compute=ray "$@"
