"""The systemd units of a project's server, as text: a socket that outlives the server, and the server, shut in."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError

_PLAIN = re.compile(r"[A-Za-z0-9/._+@~=-]+")
"""Characters that mean nothing else in a unit file: neither a separator, nor an escape, nor a specifier."""
_HOMES = tuple(f"/{place}/" for place in ("home", "root", "run/user"))
BACKLOG = 4096


class BadUnit(MainstayError):
    """A unit that systemd could not run as it is meant."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's units say."""

    name: str
    """Of the units, without ".service"."""
    user: str
    folder: Path
    """Of the project."""
    python: Path
    """The interpreter that Mainstay is installed for."""
    host: str
    port: int
    grpc_port: int | None = None
    writable: tuple[Path, ...] = ()
    """Folders that the server writes into, beside the project's."""
    stop_within: float
    """Seconds that it may take to end in order."""


def socket_unit(said: Described) -> str:
    """The text of NAME.socket. Raises BadUnit."""
    if not said.port or said.grpc_port == 0:
        raise BadUnit(
            "[serve] port = 0 takes another port at each start, as grpc_port = 0 does: write what callers are to use."
        )
    host = {"localhost": "127.0.0.1"}.get(said.host, said.host) or "0.0.0.0"  # noqa: S104 - as the project says
    try:
        where = f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        raise BadUnit(
            f'[serve] host = "{host}" is a name, and systemd listens on addresses: write one, or 0.0.0.0 for all.'
        ) from None
    grpc = "" if said.grpc_port is None else f"ListenStream={where}:{said.grpc_port}\n"
    return f"""\
# Written by mainstay install-service. It holds the port while the server is restarted: callers wait, none is refused.
[Unit]
Description=Mainstay, the port of {said.folder.name}

[Socket]
ListenStream={where}:{said.port}
{grpc}NoDelay=true
Backlog={BACKLOG}

[Install]
WantedBy=sockets.target
"""


def service_unit(said: Described) -> str:
    """The text of NAME.service. Raises BadUnit."""
    for path in (said.folder, said.python, *said.writable):
        if not _PLAIN.fullmatch(str(path)):
            raise BadUnit(
                f"{str(path)!r} has characters that mean something else to systemd (spaces, %, quotes and the like): "
                "move it to a path without them, such as /srv/credit."
            )
    paths = (said.folder, said.python, *said.writable)
    homes = "read-only" if any(str(path).startswith(_HOMES) for path in paths) else "yes"
    return f"""\
# Written by mainstay install-service. For changes of your own: systemctl edit {said.name}
[Unit]
Description=Mainstay, serving and rolling out the models of {said.folder.name}
Requires={said.name}.socket
Wants=network-online.target
After=network-online.target {said.name}.socket
StartLimitIntervalSec=0

[Service]
User={said.user}
WorkingDirectory={said.folder}
ExecStart={said.python} -m mainstay up
# Passwords and the like, NAME=value a line; a file of root's alone. Not needed.
EnvironmentFile=-/etc/mainstay/{said.name}.env
# Where environments of Python classes are put together.
Environment=UV_CACHE_DIR=/tmp/uv

Restart=always
RestartSec=1
# The server ends its workers itself, once they have answered whom they let in.
KillMode=mixed
TimeoutStopSec={said.stop_within:.0f}
# A model that takes too much memory costs its own process, not the server.
OOMPolicy=continue
LimitNOFILE=65536
UMask=0077

# It may write into these folders and a /tmp of its own, and nowhere else.
ProtectSystem=strict
ProtectHome={homes}
ReadWritePaths={" ".join(map(str, (said.folder, *said.writable)))}
PrivateTmp=true
PrivateDevices=true

NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute=true is right where every version is served as ONNX. PyTorch, TensorFlow and other libraries
# that compile code while they run do not work with it.

[Install]
WantedBy=multi-user.target
"""
