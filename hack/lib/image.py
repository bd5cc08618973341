"""Assembles the operator's image from unpacked Debian packages and the binary; see hack/image.

Two layers: the packages, which seldom change, and the binary. Everything in them is sorted, belongs to
root and has one date, so that equal inputs make equal bytes.
"""
import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

USER = 65532
# What a process without a shell never opens.
DROPPED = re.compile(r"^(usr/share/(man|locale|lintian|bug|base-files|info)|usr/share/doc/[^/]*/(?!copyright)"
                     r"|usr/lib/[^/]*/(gconv|engines-3|ossl-modules)|(usr/)?s?bin/"
                     r"|etc/(init\.d|profile\.d|ca-certificates|ld\.so\.conf\.d|update-motd\.d|issue.*|motd|skel)"
                     r"|etc/dpkg|var/(backups|cache|spool|local|mail|lock|run)|boot|home|media|mnt|opt|srv|root)")
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nspillway:x:65532:65532:spillway:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nspillway:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def control(deb):
    text = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", text, re.M))
    return text, fields


def md5sums(deb):
    done = subprocess.run(["dpkg-deb", "-I", deb, "md5sums"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


class Layer:
    """A tar whose members are sorted; later ones replace earlier ones of the same name."""

    def __init__(self, epoch):
        self.epoch, self.members = epoch, {}

    def add(self, info, data=b""):
        info.name = info.name.removeprefix("./").rstrip("/")
        if not info.name or info.name == ".":
            return
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime, info.pax_headers = self.epoch, {}
        self.members[info.name] = (info, data)

    def file(self, name, data, mode=0o644):
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), mode
        self.add(info, data)

    def folder(self, name, mode=0o755):
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self.add(info)

    def bytes(self):
        for name in list(self.members):
            for parent in pathlib.PurePosixPath(name).parents:
                if str(parent) != "." and str(parent) not in self.members:
                    self.folder(str(parent))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for _, (info, data) in sorted(self.members.items()):
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()


def unpack(layer, deb):
    stream = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        for info in tar:
            name = info.name.removeprefix("./").rstrip("/")
            # Folders follow from what is in them.
            if info.isdir() or DROPPED.match(name):
                continue
            layer.add(info, tar.extractfile(info).read() if info.isreg() else b"")


def trust(layer):
    """The bundle of roots that update-ca-certificates would write."""
    prefix = "usr/share/ca-certificates/"
    roots = [data for name, (_, data) in sorted(layer.members.items()) if name.startswith(prefix)]
    for name in [name for name in layer.members if name.startswith(prefix)]:
        del layer.members[name]
    layer.file("etc/ssl/certs/ca-certificates.crt",
               b"".join(root if root.endswith(b"\n") else root + b"\n" for root in roots))


def base_layer(debs, epoch):
    layer, packages = Layer(epoch), []
    for deb in sorted(debs):
        unpack(layer, deb)
        text, fields = control(deb)
        packages.append((fields, hashlib.sha256(pathlib.Path(deb).read_bytes()).hexdigest()))
        layer.file(f"var/lib/dpkg/status.d/{fields['Package']}", text.encode())
        layer.file(f"var/lib/dpkg/status.d/{fields['Package']}.md5sums", md5sums(deb).encode())
    trust(layer)
    for name, text in FILES.items():
        layer.file(name, text.encode())
    layer.folder("tmp", 0o1777)
    return layer.bytes(), packages


def stripped(strip, binary, output):
    copy = output / "spillway.stripped"
    subprocess.run([strip, "--strip-all", "-o", str(copy), binary], check=True)
    data = copy.read_bytes()
    copy.unlink()
    return data


def machine(data):
    """The architecture of an ELF file, in Debian's and Go's common names."""
    return {62: "amd64", 183: "arm64"}[int.from_bytes(data[18:20], "little")]


class Layout:
    """An OCI layout: blobs named by their digests."""

    def __init__(self):
        self.blobs = {}

    def add(self, data, kind):
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def write(self, path, manifest, name):
        entry = {**manifest, "annotations": {"io.containerd.image.name": name,
                                             "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}}
        layer = Layer(0)
        layer.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        layer.file("index.json", encode({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}))
        for digest, data in self.blobs.items():
            layer.file(f"blobs/sha256/{digest}", data)
        path.write_bytes(layer.bytes())


def encode(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def image(layout, layers, arch, labels, created):
    kind = "application/vnd.oci.image."
    packed = [layout.add(gzip.compress(layer, 6, mtime=0), kind + "layer.v1.tar+gzip") for layer in layers]
    config = {
        "architecture": arch, "os": "linux", "created": created,
        "config": {"User": f"{USER}:{USER}", "Entrypoint": ["/usr/bin/spillway"], "WorkingDir": "/",
                   "Env": ["PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
                   "ExposedPorts": {"8443/tcp": {}, "8081/tcp": {}}, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": [{"created": created, "created_by": step} for step in ("Debian packages", "the operator")]}
    return layout.add(encode({
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "annotations": labels,
        "config": layout.add(encode(config), kind + "config.v1+json"), "layers": packed}), kind + "manifest.v1+json")


def spdx_package(name, version, arch, comment, checksum=None):
    package = {"SPDXID": "SPDXRef-" + re.sub("[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
               "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
               "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "comment": comment,
               "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator":
                                 f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={arch}&distro=debian-12"}]}
    if checksum:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
    return package


def sbom(name, digest, arch, packages, static, created):
    tag = name.rsplit(":", 1)[1]
    top = {"SPDXID": "SPDXRef-image", "name": name.rsplit(":", 1)[0], "versionInfo": tag, "filesAnalyzed": False,
           "downloadLocation": "NOASSERTION", "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
           "copyrightText": "NOASSERTION", "primaryPackagePurpose": "CONTAINER",
           "checksums": [{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}]}
    linked = [spdx_package(fields["Package"], fields["Version"], fields["Architecture"], "unpacked into the image", checksum)
              for fields, checksum in packages]
    inside = [spdx_package(*entry.split("=", 1), arch, "compiled into the operator") for entry in static]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
            "documentNamespace": f"https://spillway.dev/spdx/{digest.removeprefix('sha256:')}",
            "creationInfo": {"created": created, "creators": ["Tool: spillway-hack-image"]},
            "packages": [top, *linked, *inside],
            "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                               "relatedSpdxElement": "SPDXRef-image"}] +
                             [{"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS",
                               "relatedSpdxElement": package["SPDXID"]} for package in linked] +
                             [{"spdxElementId": "SPDXRef-image", "relationshipType": "STATIC_LINK",
                               "relatedSpdxElement": package["SPDXID"]} for package in inside]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("binary", "output", "name", "revision", "strip", "static"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("debs", nargs="+")
    return parser.parse_args()


def main():
    args = arguments()
    output, epoch = pathlib.Path(args.output), int(os.environ["SOURCE_DATE_EPOCH"])
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"org.opencontainers.image.title": "spillway", "org.opencontainers.image.created": created,
              "org.opencontainers.image.version": args.name.rsplit(":", 1)[1],
              "org.opencontainers.image.revision": args.revision, "org.opencontainers.image.licenses": "Apache-2.0",
              "org.opencontainers.image.description": "Runs tasks on your own servers first; the cloud takes the overflow."}
    base, packages = base_layer(args.debs, epoch)
    binary, top = stripped(args.strip, args.binary, output), Layer(epoch)
    top.file("usr/bin/spillway", binary, 0o755)
    layout, arch = Layout(), machine(binary)
    manifest = image(layout, [base, top.bytes()], arch, labels, created)
    archive = output / f"spillway-{arch}.tar"
    layout.write(archive, manifest, args.name)
    (output / f"spillway-{arch}.digest").write_text(manifest["digest"] + "\n")
    (output / f"spillway-{arch}.spdx.json").write_bytes(
        json.dumps(sbom(args.name, manifest["digest"], arch, packages, args.static.split(), created), indent=1).encode())
    print(f"{args.name}@{manifest['digest']}")
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB, {len(packages)} packages; "
          f"{(len(base) + len(binary)) / 2**20:.1f} MiB unpacked")


if __name__ == "__main__":
    main()
