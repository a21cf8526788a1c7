"""Certificates for a test: an authority of its own, a server's and a client's, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """Files in a directory: `ca.pem`, and `<name>.pem` with `<name>.key` for each name.

    Args:
        directory: where they are made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._openssl("req", "-x509", "-subj", "/CN=test authority", "-days", "2", "-out", "ca.pem", key="ca.key")

    def make(self, name: str, address: str) -> None:
        """Makes a certificate for an address, as `IP:127.0.0.1` or `DNS:host`."""
        self._openssl("req", "-subj", f"/CN={name}", "-out", f"{name}.csr", key=f"{name}.key")
        (self._directory / "names").write_text(f"subjectAltName={address}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")

    def path(self, name: str) -> str:
        return str(self._directory / name)

    def _openssl(self, *words: str, key: str = "") -> None:
        made = ["-newkey", "rsa:2048", "-nodes", "-keyout", key] if key else []
        subprocess.run(["openssl", *words, *made], cwd=self._directory, check=True, capture_output=True)
