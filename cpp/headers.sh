#!/usr/bin/env bash
# Fetch ONNX Runtime's headers (MIT) from Debian's libonnxruntime-dev into a folder: headers.sh FOLDER
set -euo pipefail

version=1.21.0+dfsg-1
sha256=14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08
package=libonnxruntime-dev_${version}_amd64.deb
# The mirrors that this machine's packages come from, after one that is named.
mapfile -t mirrors < <(
  [ -z "${DEBIAN_MIRROR:-}" ] || echo "$DEBIAN_MIRROR"
  apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sort -u
)

[ $# -eq 1 ] || { echo "usage: [DEBIAN_MIRROR=URL] headers.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
target=$(cd "$1" && pwd)
[ -f "$target/onnxruntime_cxx_api.h" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# apt's own downloader, where there is one, knows the proxy that the machine's packages come through. What one mirror
# lacks another has: only where none has it, each says why.
fetch() {
  curl --fail --silent --show-error --location --max-time 60 -o "$package" "$1" ||
    { [ -x /usr/lib/apt/apt-helper ] && /usr/lib/apt/apt-helper -qq download-file "$1" "$package"; }
}
for mirror in "${mirrors[@]}"; do
  fetch "${mirror%/}/pool/main/o/onnxruntime/$package" 2>>why && break
done
[ -f "$package" ] || { cat why 2>/dev/null; echo "no mirror has $package: set DEBIAN_MIRROR to one, or ORT_INCLUDE to the headers"; exit 1; } >&2
echo "$sha256  $package" | sha256sum --check --quiet
if command -v dpkg-deb >/dev/null; then
  dpkg-deb -x "$package" .
else
  ar x "$package"
  tar -xf data.tar.*
fi
cp "$(dirname "$(find . -name onnxruntime_cxx_api.h | head -n 1)")"/*.h "$target/"
