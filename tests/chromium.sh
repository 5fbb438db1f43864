#!/bin/sh
# Provides the browser in which a test looks at a report. Never fails: without a browser that
# test skips itself.
set -u

present() { command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1; }

present && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser test."
    export DEBIAN_FRONTEND=noninteractive
    # A stale list may still name a package that can be had, so a failed update is no reason to stop.
    apt-get update -qq >/dev/null 2>&1
    apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 \
        chromium chromium-driver fonts-dejavu-core >/dev/null 2>&1
    present && exit 0
fi
echo "The browser test will be skipped: chromium and chromedriver are not on the PATH" \
    "(Debian: sudo apt-get install chromium chromium-driver)."
