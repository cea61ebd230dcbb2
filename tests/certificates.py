"""Keys and certificates for the tests of TLS, made by the openssl command when first asked for."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """A key and the certificate that it signed itself. Who loads file as a CA trusts it."""

    file: str
    key: str


def make(folder: Path, name: str, hosts: str) -> Certificate:
    """Make a certificate for hosts ("DNS:localhost,IP:127.0.0.1") in folder."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make certificates with")
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    if not file.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
        # Python 3.13 wants a CA to say that it may sign.
        command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
        command += ["-addext", f"subjectAltName={hosts}", "-keyout", key, "-out", file]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return Certificate(str(file), str(key))
