# shellcheck shell=bash
# docker.io/local/busybox:1, made from Debian's statically linked busybox: no registry is asked.

blob() { # FILE BLOB_DIRECTORY: stores the file under its digest, prints the digest
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  cp "$1" "$2/$digest"
  echo "$digest"
}

image_make() { # ARCHIVE NAME COMMAND_AS_JSON
  local work layer config manifest blobs diff_id applet
  work=$(mktemp -d)
  blobs=$work/oci/blobs/sha256
  mkdir -p "$blobs" "$work/root/bin" "$work/root/tmp" "$work/root/dev"
  cp /bin/busybox "$work/root/bin/busybox"
  for applet in $(/bin/busybox --list); do
    [[ $applet == busybox ]] || ln -s busybox "$work/root/bin/$applet"
  done
  chmod 1777 "$work/root/tmp"
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/root" -cf "$work/layer" .
  diff_id=$(sha256sum "$work/layer" | cut -d' ' -f1)
  layer=$(blob "$work/layer" "$blobs")
  cat >"$work/config" <<EOF
{"architecture":"$(dpkg --print-architecture)","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":$3},
 "rootfs":{"type":"layers","diff_ids":["sha256:$diff_id"]}}
EOF
  config=$(blob "$work/config" "$blobs")
  cat >"$work/manifest" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
 "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$(stat -c %s "$work/config")},
 "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:$layer","size":$(stat -c %s "$work/layer")}]}
EOF
  manifest=$(blob "$work/manifest" "$blobs")
  echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
  cat >"$work/oci/index.json" <<EOF
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
 "digest":"sha256:$manifest","size":$(stat -c %s "$work/manifest"),
 "annotations":{"io.containerd.image.name":"$2","org.opencontainers.image.ref.name":"1"}}]}
EOF
  tar -C "$work/oci" -cf "$1" .
  rm -rf "$work"
}

# images_make: the archives. The sandbox image, which keeps a pod's namespaces open, is the same busybox asleep.
images_make() {
  [[ -f $dir/busybox.tar ]] || image_make "$dir/busybox.tar" docker.io/local/busybox:1 '["sh"]'
  [[ -f $dir/pause.tar ]] || image_make "$dir/pause.tar" docker.io/local/pause:1 '["sleep","2147483647"]'
}

images_import() {
  local image
  images_make
  for image in busybox pause; do "${ctr[@]}" images import "$dir/$image.tar" >/dev/null; done
}
