#!/bin/sh
# Install the libraries of the tools that proposals are exported to, each into a virtual environment of its own (their
# versions clash with ours), and print the variables by which tests/active/test_exports.py finds them:
#   eval "$(tools/export_venvs.sh /tmp/export_venvs)"
set -eu
folder=${1:?usage: export_venvs.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

install() {  # VARIABLE PACKAGE...
    variable=$1
    shift
    "${PYTHON:-python3.11}" -m venv "$folder/$1" >&2
    "$folder/$1/bin/python" -m pip install --quiet "$@" >&2
    echo "export $variable='$folder/$1/bin/python'"
}

install NEUROADDA_WEBKNOSSOS_PYTHON webknossos
install NEUROADDA_NEUROGLANCER_PYTHON neuroglancer
install NEUROADDA_OME_ZARR_PYTHON ome-zarr ome-zarr-models
