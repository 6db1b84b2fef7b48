"""The address to listen on, bound before anything slow starts."""

import contextlib
import errno
import ipaddress
import socket

from app.core.errors import LaunchError


def take_address(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen yet, so that clients are refused.

    It is bound once and passed on to the service. So no other program can take the port between a
    check and the start.

    Raises:
        LaunchError: if the address cannot be used, or another program listens there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise _problem(host, port, error) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _problem(host, port, error) from error
    if port and _is_answered(host, port):
        listener.close()
        raise _problem(host, port, OSError(errno.EADDRINUSE, "answered"))
    return listener


def _is_answered(host: str, port: int) -> bool:
    """Return whether another program listens: a wildcard address can be bound despite that."""
    with contextlib.suppress(OSError), socket.create_connection((reachable_host(host), port), 0.2):
        return True
    return False


def _problem(host: str, port: int, error: OSError) -> LaunchError:
    text = (
        f"Cannot listen on {host} port {port} ({error.strerror}): set GLITCH_HOST and GLITCH_PORT."
    )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        text = (
            f"GLITCH_HOST={host} is not an address of this machine: use 127.0.0.1 for this machine "
            "alone or 0.0.0.0 for every network."
        )
    elif error.errno == errno.EADDRINUSE:
        text = (
            f"Port {port} on {host} is taken by another program: stop that one or set GLITCH_PORT "
            "to a free port."
        )
    elif error.errno in (errno.EACCES, errno.EPERM):
        text = f"No permission to listen on port {port}: set GLITCH_PORT to a port above 1023."
    return LaunchError(text)


def reachable_host(host: str) -> str:
    """Return the host that clients on this machine connect to: loopback for a wildcard address."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host


def address_of(host: str, port: int) -> str:
    """Return `http://host:port` of a service for a client on this machine."""
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
