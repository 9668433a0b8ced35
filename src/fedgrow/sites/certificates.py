"""Certificates of a coordinator and keys of sites, as Flower takes them: TLS with an own authority, NIST P-384 keys."""

import contextlib
import datetime
import ipaddress
import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedgrow.disk.atomic import write_bytes
from fedgrow.errors import FedgrowError

YEARS = 2
LOCAL = ("localhost", "127.0.0.1")
LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def check_names(names: Sequence[str]) -> None:
    """Check that sites can call the coordinator by these names.

    Raises:
        FedgrowError: one is neither a host's name nor an address.
    """
    for name in names:
        if not _is_address(name, 4) and not (
            len(name) <= 253 and re.fullmatch(rf"{LABEL}(\.{LABEL})*", name)
        ):
            raise FedgrowError(
                f"--name {name!r}: expected a host's name or an IPv4 address as sites call it, without a port"
            )


def make_certificates(folder: Path, names: Sequence[str]) -> None:
    """Make an authority and a server certificate: ``ca.crt`` (for the sites), ``server.crt``, ``server.key``.

    Args:
        folder: where they go.
        names: the coordinator's host names and addresses, as sites will call it; local ones are added.
    """
    authority = ec.generate_private_key(ec.SECP384R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedgrow coordinator's authority")])
    ca = (
        _certificate(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(authority, hashes.SHA384())
    )
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedgrow coordinator")])
    own = dict.fromkeys([*names, *LOCAL])
    server = (
        _certificate(subject, issuer, key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in own]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority, hashes.SHA384())
    )
    write_private(folder / "server.key", _pem(key))  # the authority's own key is not kept: it signs once
    write_bytes(folder / "server.crt", server.public_bytes(serialization.Encoding.PEM))
    write_bytes(folder / "ca.crt", ca.public_bytes(serialization.Encoding.PEM))


def is_for_this_machine(certificate: Path) -> bool:
    """Tell whether a server's certificate holds for calls to 127.0.0.1.

    Raises:
        FedgrowError: it is no certificate.
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError) as error:
        raise FedgrowError(
            f"{certificate}: it cannot be read ({error}); expected a certificate in PEM"
        ) from None
    except x509.ExtensionNotFound:
        return False
    return ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)


def check_call(certificates: Path) -> None:
    """Check, by a TLS handshake in memory, that who holds ``ca.crt`` may call a server at 127.0.0.1 with the others.

    Raises:
        FedgrowError: a file cannot be read, one is not of the others, or one holds no more; the text says why.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server.load_cert_chain(certificates / "server.crt", certificates / "server.key", password="")
        client.load_verify_locations(certificates / "ca.crt")
        ends = (
            client.wrap_bio(back, there, server_hostname="127.0.0.1"),
            server.wrap_bio(there, back, server_side=True),
        )
        for end in ends * 2:  # hello; certificate; its check, and keys; the end
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error
        raise FedgrowError(
            f"{certificates}: ca.crt, server.crt and server.key do not make a connection: {why}; expected a server's "
            "certificate in date, its own key without a passphrase, and the authority that signed it, all in PEM"
        ) from None


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ between sites
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str, version: int | None = None) -> bool:
    with contextlib.suppress(ValueError):
        return version in (None, ipaddress.ip_address(name).version)
    return False


def make_key(path: Path) -> str:
    """Make a site's key, unless it is there already, and return the public half as one line.

    ``path`` is readable by its owner only; the public half lies beside it, ending in ``.pub``.

    Raises:
        FedgrowError: what is there is no key that Flower takes.
    """
    if not path.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        write_private(
            path,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ),
        )
    try:
        found = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a passphrase
        raise FedgrowError(
            f"key {path}: it cannot be read ({error}); remove it to have a new one made"
        ) from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise FedgrowError(f"key {path}: expected an elliptic-curve key; remove it to have a new one made")
    public = found.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    write_bytes(path.with_name(f"{path.name}.pub"), public + b"\n")
    return public.decode()


def read_public_key(text: str) -> bytes:
    """Return a site's public key as Flower registers it.

    Raises:
        FedgrowError: the text is no public key on a NIST curve.
    """
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes, uses_nist_ec_curve

    try:
        key = serialization.load_ssh_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise FedgrowError(
            "the key is no public key in OpenSSH's form (one line: ecdsa-sha2-nistp384 AAAA...); "
            "`fedgrow join` prints the one to give"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not uses_nist_ec_curve(key):
        raise FedgrowError(
            "the key is not on a NIST curve; take the one that `fedgrow join` made (ecdsa P-384)"
        )
    return public_key_to_bytes(key)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from its first moment, in a folder that only its owner may enter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
