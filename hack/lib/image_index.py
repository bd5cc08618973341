"""Joins the images of several architectures under one name: an OCI image index over them; see hack/image.

A registry and a container engine pick from it what their machine can run.
"""
import argparse
import json
import pathlib
import tarfile

from image import Layout, encode


def parts(path):
    """The blobs of an OCI layout by digest, and its one manifest's descriptor."""
    with tarfile.open(path) as tar:
        files = {info.name: tar.extractfile(info).read() for info in tar if info.isreg()}
    blobs = {f"sha256:{name.rsplit('/', 1)[1]}": data for name, data in files.items() if name.startswith("blobs/")}
    return blobs, json.loads(files["index.json"])["manifests"][0]


def join(archives):
    """A layout with all their blobs, the descriptor of the index over them, and their name."""
    layout, entries, names, labels = Layout(), [], set(), {}
    for archive in archives:
        blobs, entry = parts(archive)
        names.add(entry["annotations"]["io.containerd.image.name"])
        manifest = json.loads(blobs[entry["digest"]])
        config = json.loads(blobs[manifest["config"]["digest"]])
        labels = manifest["annotations"]
        entries.append({key: entry[key] for key in ("mediaType", "digest", "size")} |
                       {"platform": {"architecture": config["architecture"], "os": config["os"]}})
        for data in blobs.values():
            layout.add(data, "")
    if len(names) != 1:
        raise SystemExit(f"error: these are not images of one name: {', '.join(sorted(names))}")
    kind = "application/vnd.oci.image.index.v1+json"
    entries.sort(key=lambda entry: entry["platform"]["architecture"])
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": entries, "annotations": labels}
    return layout, layout.add(encode(index), kind), names.pop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("archives", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    layout, index, name = join(args.archives)
    archive = args.output / "spillway.tar"
    layout.write(archive, index, name)
    (args.output / "spillway.digest").write_text(index["digest"] + "\n")
    sizes = ", ".join(f"{path.stem} {path.stat().st_size / 2**20:.1f}" for path in args.archives)
    print(f"{name}@{index['digest']}")
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB ({sizes})")


if __name__ == "__main__":
    main()
