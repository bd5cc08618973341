# shellcheck shell=bash
# A Go toolchain new enough to build Kubernetes. Debian 12 ships Go 1.19, which is too old for
# that but can fetch the official toolchain as a Go module, verified against the checksum database.

readonly go_needed=1.26.6

go_new_enough() {
  command -v "$1" >/dev/null 2>&1 || return 1
  local have
  have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
  [[ -n $have && $(printf '%s\n%s\n' "$go_needed" "$have" | sort -V | head -n 1) == "$go_needed" ]]
}

# go_ensure: puts a Go of at least $go_needed first in PATH.
go_ensure() {
  local root candidate
  for candidate in go /usr/local/go/bin/go; do
    if go_new_enough "$candidate"; then
      [[ $candidate == go ]] || PATH=$(dirname "$candidate"):$PATH
      export GOTOOLCHAIN=local
      return 0
    fi
  done
  root=${XDG_CACHE_HOME:-$HOME/.cache}/spillway/go/$go_needed
  if ! go_new_enough "$root/bin/go"; then
    command -v go >/dev/null 2>&1 || apt_ensure golang-go ca-certificates
    with_progress "installing Go $go_needed" go_fetch_toolchain "$root"
  fi
  PATH=$root/bin:$PATH
  export PATH GOTOOLCHAIN=local GOROOT=$root
}

go_fetch_toolchain() {
  local root=$1 dir arch
  arch=$(dpkg --print-architecture)
  dir=$(GOFLAGS=-modcacherw go mod download -json \
    "golang.org/toolchain@v0.0.1-go$go_needed.linux-$arch" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [[ -d $dir ]] || return 1
  rm -rf "$root"
  mkdir -p "$root"
  cp -r "$dir/." "$root/"
  chmod -R u+w "$root"
  # A module archive carries no permission bits.
  chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
}
