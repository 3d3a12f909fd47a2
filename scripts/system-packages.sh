#!/usr/bin/env bash
# Install what the tests of reports and of the service's page need beside Python, on Debian or Ubuntu: Chromium with its driver and
# fonts, and axe-core with playwright-core in build/browser. Without them those tests are skipped and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
if ! command -v chromedriver >/dev/null || ! command -v chromium >/dev/null; then
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core fonts-wqy-microhei
fi
if ! command -v npm >/dev/null; then
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends nodejs npm
fi
npm install --prefix build/browser --no-audit --no-fund --silent axe-core@4.14.1 playwright-core@1.65.1
