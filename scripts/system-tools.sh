#!/usr/bin/env bash
# Installs the system tools that some tests talk to, where that is possible; says what is missing where it is not.
# Never fails: a test whose tool is missing is skipped and says so.
set -euo pipefail

POLICY=/usr/sbin/policy-rc.d

missing() {
    command -v Orthanc >/dev/null || echo orthanc
    [ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || echo orthanc-dicomweb
    command -v dciodvfy >/dev/null || echo dicom3tools
    command -v dcmdump >/dev/null || echo dcmtk
    command -v plastimatch >/dev/null || echo plastimatch
    command -v pdftotext >/dev/null || echo poppler-utils
    command -v chromium >/dev/null || echo chromium
    for tool in podman buildah runc debootstrap; do command -v "$tool" >/dev/null || echo "$tool"; done
}

install_packages() {
    # Debian starts a service as soon as it is installed. The tests start their own Orthanc: keep port 8042 free.
    local had_orthanc=no
    command -v Orthanc >/dev/null && had_orthanc=yes
    if [ ! -e "$POLICY" ]; then
        trap 'rm -f "$POLICY"' RETURN EXIT
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod +x "$POLICY"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$@" >/dev/null || return 1
    if [ "$had_orthanc" = no ] && command -v systemctl >/dev/null; then
        systemctl disable --quiet orthanc
    fi
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system tools:" $packages
    # shellcheck disable=SC2086  # one word a package
    install_packages $packages || true
    packages=$(missing)
fi
if [ -n "$packages" ]; then
    echo "Missing system tools:" $packages "(tests that need them are skipped; as root: make system-tools)" >&2
fi
