# shellcheck shell=bash
# Prometheus and promtool out of Debian's package, of which nothing is installed.

# prometheus_ensure: puts both into PATH.
prometheus_ensure() {
  local dir=${XDG_CACHE_HOME:-$HOME/.cache}/spillway/promtool fetched
  if command -v promtool >/dev/null && command -v prometheus >/dev/null; then return 0; fi
  if [[ ! -x $dir/usr/bin/promtool ]]; then
    fetched=$(mktemp -d)
    mkdir -p "$dir"
    (cd "$fetched" && { apt-get download -q prometheus || { apt-get update -qq && apt-get download -q prometheus; }; } >/dev/null 2>&1) ||
      die "apt-get download prometheus failed"
    dpkg-deb -x "$fetched"/prometheus_*.deb "$dir"
    rm -rf "$fetched"
  fi
  PATH=$PATH:$dir/usr/bin
}
