# shellcheck shell=bash
# Debian packages. Nothing is asked of apt when everything is there already.

# apt_missing PACKAGE...: prints those that are not installed.
apt_missing() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

# apt_ensure PACKAGE...: installs what is missing; needs root only then.
apt_ensure() {
  local missing
  mapfile -t missing < <(apt_missing "$@")
  ((${#missing[@]} == 0)) && return 0
  ((EUID == 0)) || die "missing Debian packages, install them as root: apt-get install ${missing[*]}"
  with_progress "apt-get update" apt-get update -qq
  with_progress "apt-get install ${missing[*]}" \
    env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
