#!/bin/sh
# choose_python.sh PYTHON FOLDER: print "VERSION PROGRAM VENV", the Python that make uses and the folder of its virtual environment.
#
# PYTHON is a name or a path; if it is empty, the first supported Python is taken. A name is looked for on PATH, then among pyenv's
# versions, and each program that is found is started: a shim on PATH may stand for a Python that is not installed.
# VENV is FOLDER, or FOLDER-VERSION if FOLDER belongs to another Python: the packages of two Pythons never mix.
set -eu
python=$1
folder=$2
supported="3.11 3.12 3.13 3.14"
advice="install Python ${supported%% *} to ${supported##* } with its headers and venv (Debian: python3-dev, python3-venv)"

fail() {
    echo "$1" >&2
    exit 1
}

version_of() {  # PROGRAM
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

programs() {  # NAME
    case $1 in */*) echo "$1" && return ;; esac
    IFS=:
    for place in $PATH "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin; do
        if [ -x "$place/$1" ]; then echo "$place/$1"; fi
    done
}

choose() {  # NAME...: set program and version, or unsupported to a version that was found instead
    unsupported=
    for name in "$@"; do
        for program in $(programs "$name"); do
            version=$(version_of "$program") || continue
            case " $supported " in *" $version "*) return 0 ;; esac
            unsupported=$version
        done
    done
    return 1
}

if [ -z "$python" ]; then
    choose python3.11 python3.12 python3.13 python3.14 python3 || fail "No supported Python runs here: $advice"
elif ! choose "$python"; then
    [ -z "$unsupported" ] || fail "PYTHON=$python is Python $unsupported, which is not supported: $advice"
    fail "PYTHON=$python does not run: $advice"
fi
if [ -e "$folder" ] && [ "$(version_of "$folder/bin/python")" != "$version" ]; then
    folder=$folder-$version
fi
echo "$version $program $folder"
