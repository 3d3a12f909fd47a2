#!/usr/bin/env bash
# Install what the accessibility test of the reports needs beside Python, on Debian or Ubuntu with Node.js: Chromium, and
# axe-core with playwright-core in build/browser. Without them that test is skipped and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
if ! command -v chromium >/dev/null; then
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
fi
if ! command -v npm >/dev/null; then
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends nodejs npm
fi
npm install --prefix build/browser --no-audit --no-fund --silent axe-core@4.14.1 playwright-core@1.65.1
