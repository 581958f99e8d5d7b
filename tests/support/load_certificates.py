"""A certificate authority for tests, and a certificate for each address of a server on loopback."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY_FILE = "key.pem"  # of all the servers' certificates


class CertificateAuthority:
    """Signs ECDSA P-256 certificates, the kind that most sites have. Good for a day.

    Args:
      folder: where everything is written; it must exist.
      name: common name of the authority.
    """

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._server_key = ec.generate_private_key(ec.SECP256R1())
        builder = self._build(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._own = builder.sign(self._key, hashes.SHA256())
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def write_bundle(self, others: Path) -> Path:
        """A bundle of the certificates in a file and of our own, as a machine that trusts us would have."""
        bundle = self.folder / "bundle.pem"
        bundle.write_bytes(others.read_bytes() + b"\n" + self.certificate.read_bytes())
        return bundle

    def issue(self, addresses: Iterable[str]) -> Path:
        """Makes a certificate for each IP address.

        Returns:
          A folder with the key (`KEY_FILE`) and the certificates, as ``ADDRESS.pem``.
        """
        folder = self.folder / "servers"
        folder.mkdir()
        (folder / KEY_FILE).write_bytes(
            self._server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        for address in addresses:
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = self._build(subject, self._server_key).add_extension(names, critical=False)
            signed = builder.sign(self._key, hashes.SHA256())
            (folder / f"{address}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return folder

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
