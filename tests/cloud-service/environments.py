"""Programs from PyPI, in virtual environments that are kept outside of the checkout."""
import fcntl
import os
import pathlib
import subprocess
import sys

CACHE = pathlib.Path(os.environ.get("SPILLWAY_CACHE_DIR", pathlib.Path.home() / ".cache" / "spillway")) / "cloud-service"
WANTED = {
    "schemathesis": ["schemathesis==4.32.5"],
    "nova": ["nova==34.0.0", "openstack-placement==16.0.0", "fixtures", "testtools", "oslotest", "wsgi-intercept", "ddt", "requests-mock"],
}
SKIPPED = 77


def skip(why):
    """ctest counts it as skipped."""
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def environment(name):
    """The folder of the environment, installed if it is not there; where it cannot be, the test is skipped."""
    path, wanted = CACHE / name, "\n".join(WANTED[name])
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = path / "installed"
        if done.exists() and done.read_text(encoding="utf-8") == wanted and (path / "bin" / "python").exists():
            return path
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", path], check=True, timeout=120, capture_output=True, text=True)
            subprocess.run([path / "bin" / "pip", "install", "--quiet", "--only-binary=:all:", "--disable-pip-version-check", *WANTED[name]],
                           check=True, timeout=480, capture_output=True, text=True)
        except (OSError, subprocess.SubprocessError) as why:
            said = (getattr(why, "stderr", None) or str(why)).strip().splitlines()
            skip(f"{name} could not be installed from PyPI ({said[-1] if said else why}); apt install python3-venv may be missing")
        if name == "nova":
            # Where it looks for api-paste.ini when it is not installed as a whole.
            (next(path.glob("lib/python3.*/site-packages")) / "etc").symlink_to(path / "etc")
        done.write_text(wanted, encoding="utf-8")
    return path
