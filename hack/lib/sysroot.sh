# shellcheck shell=bash
# Debian's packages of another architecture, unpacked into a folder: to compile against, and to look up what a binary
# links. Neither dpkg's architectures nor the package lists of this machine are touched: apt gets folders of its own.
# Uses $arch, $root; log.sh, apt.sh, operator.sh.

# What the operator is compiled with, beside a C++ library.
readonly sysroot_packages=(libstdc++-12-dev libcpprest-dev libyaml-cpp-dev libssl-dev nlohmann-json3-dev libcli11-dev
  prometheus-cpp-dev libspdlog-dev libabsl-dev)

# sysroot_triplet ARCH: as compilers and library folders are named.
sysroot_triplet() {
  case $1 in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    *) die "no image for the architecture $1: amd64 and arm64 are known" ;;
  esac
}

# sysroot_apt DIR: the configuration by which apt-get serves $arch out of DIR; the machine's sources are used.
sysroot_apt() {
  mkdir -p "$1/lists/partial" "$1/archives/partial"
  : >"$1/status"
  cat >"$1/apt.conf" <<EOF_CONF
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "$1";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1";
Dir::Cache::archives "$1/archives";
EOF_CONF
}

# sysroot_unpack DEB ROOT: its files, and its entry in ROOT's dpkg database.
sysroot_unpack() {
  local name info=$2/var/lib/dpkg/info
  dpkg-deb -x "$1" "$2"
  name=$(dpkg-deb -f "$1" Package)
  [[ $(dpkg-deb -f "$1" Multi-Arch) != same ]] || name=$name:$arch
  dpkg-deb --fsys-tarfile "$1" | tar -t | sed 's|^\.||; s|/$||; s|^$|/.|' >"$info/$name.list"
  { dpkg-deb -f "$1" | sed '/^Package: /a Status: install ok installed' && echo; } >>"$2/var/lib/dpkg/status"
}

# sysroot_fill APT_DIR ROOT: fetches and unpacks the packages with all that they depend on.
sysroot_fill() {
  local deb link folder
  apt-get update -qq
  apt-get install -y -qq --download-only --no-install-recommends "${sysroot_packages[@]}"
  mkdir -p "$2/var/lib/dpkg/info"
  # By this dpkg knows that the files' lists carry the architecture in their names.
  echo 1 >"$2/var/lib/dpkg/info/format"
  for folder in bin lib sbin; do
    mkdir -p "$2/usr/$folder" && ln -s "usr/$folder" "$2/$folder"
  done
  for deb in "$1"/archives/*.deb; do
    sysroot_unpack "$deb" "$2"
  done
  # Links that begin with / would lead out of it.
  find "$2" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$2$(readlink "$link")" "$link"
  done
  rm -f "$1"/archives/*.deb
}

# sysroot_toolchain ROOT: for CMake.
sysroot_toolchain() {
  local triplet
  triplet=$(sysroot_triplet "$arch")
  cat >"$1.cmake" <<EOF_CMAKE
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${triplet%%-*})
set(CMAKE_CXX_COMPILER $triplet-g++)
set(CMAKE_SYSROOT $1)
set(CMAKE_LIBRARY_ARCHITECTURE $triplet)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
EOF_CMAKE
}

# sysroot_refresh APT_DIR: new lists once a day, so that the image gets security updates.
sysroot_refresh() {
  [[ -z $(find "$1/lists" -maxdepth 0 -mtime +0) ]] || { apt-get update -qq && touch "$1/lists"; } ||
    note "the package lists of $arch could not be renewed"
}

# sysroot_ensure: sets $sysroot to the unpacked packages of $arch (made the first time: some 20 s), and apt-get to $arch:
# what this machine itself needs has to be installed before.
sysroot_ensure() {
  local dir=${XDG_CACHE_HOME:-$HOME/.cache}/spillway/sysroot/$arch stamp="${sysroot_packages[*]}" sysroot_lock
  sysroot=$dir/root
  mkdir -p "$dir"
  exec {sysroot_lock}>"$dir/lock"
  flock "$sysroot_lock"
  export APT_CONFIG=$dir/apt/apt.conf
  if [[ ! -f $dir/stamp || $(<"$dir/stamp") != "$stamp" ]]; then
    rm -rf "$sysroot" "$dir/apt" "$dir/stamp"
    sysroot_apt "$dir/apt"
    with_progress "fetching the packages of $arch" sysroot_fill "$dir/apt" "$sysroot"
    sysroot_toolchain "$sysroot"
    echo "$stamp" >"$dir/stamp"
  fi
  sysroot_refresh "$dir/apt"
  exec {sysroot_lock}>&-
}

# cross_packages: what compiles for $arch; before sysroot_ensure.
cross_packages() { apt_ensure "${build_packages[@]}" "g++-$(sysroot_triplet "$arch" | tr _ -)"; }

# cross_build DIR CMAKE_FLAG...: the operator for $arch, DIR/spillway.
cross_build() {
  local dir=$1
  shift
  ccache_settings
  [[ -f $dir/build.ninja ]] ||
    with_progress "configuring for $arch" cmake -S "$root" -B "$dir" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$sysroot.cmake" \
      -DBUILD_TESTING=OFF -DSPILLWAY_TOGETHER=ON "$@"
  with_progress "building for $arch" cmake --build "$dir" --target spillway
}
