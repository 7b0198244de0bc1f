#!/usr/bin/env bash
# Makes llama.cpp's own bench from the source package of the xllamacpp that is installed here, so that both are of one
# build, and compiled for AVX2 without AVX-512 as the wheel is. Takes minutes, a C++ compiler and the package index.
#
#   bash benchmarks/llama_bench.sh FOLDER      leaves FOLDER/llama-bench
set -euo pipefail
folder=$(mkdir -p "${1:?a folder}" && cd "$1" && pwd)
version=$(python -c 'from importlib.metadata import version; print(version("xllamacpp"))')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python -m venv tools
tools/bin/pip install --quiet cmake ninja cython setuptools wheel scikit-build scikit-build-core
PATH="$work/tools/bin:$PATH"
tools/bin/pip download --quiet --no-deps --no-build-isolation --no-binary xllamacpp "xllamacpp==$version"
tar xzf "xllamacpp-$version.tar.gz"
off=$(printf -- '-DLLAMA_%s=OFF ' CURL OPENSSL BUILD_TESTS BUILD_EXAMPLES BUILD_SERVER BUILD_MTMD BUILD_UI)
# shellcheck disable=SC2086  # as many words as there are options
cmake -G Ninja -S "xllamacpp-$version/thirdparty/llama.cpp" -B built -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DGGML_NATIVE=OFF -DLLAMA_BUILD_NUMBER="${version##*.}" $off
cmake --build built --target llama-bench
cp built/bin/llama-bench "$folder/"
echo "$folder/llama-bench"
