"""What the bridge asks of a Foxglove WebSocket server, and the choice between the two there are.

Both servers are read-only: a client can list channels and subscribe to them, and what else it asks for (publishing,
parameters, services) is refused. Neither asks a client who it is.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol

from tinybev.errors import UserError

BACKLOG = 64
"""Messages a server keeps for a client that reads too slowly; then the oldest go. 64 camera images are about 10 MB."""


@dataclass(frozen=True)
class Channel:
    """What clients are told of one topic: its name, and type and definition of its messages."""

    topic: str
    type_name: str
    schema: str


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, and what it says of itself. Port 0: any that is free."""

    host: str
    port: int
    name: str
    sends_time: bool


class Listener(Protocol):
    """Who is told of subscriptions, once for every client and channel; calls come from a thread of the server's."""

    def on_subscribe(self, channel_id: int) -> None:
        """A client has subscribed to a channel."""

    def on_unsubscribe(self, channel_id: int) -> None:
        """A client has unsubscribed or left; also called for channels that were removed meanwhile."""


class Server(Protocol):
    """A running server. Its methods are called from one thread and do not wait for clients."""

    @property
    def port(self) -> int:
        """The port it listens on."""

    def add_channel(self, channel: Channel) -> int:
        """Offers a channel to all clients and returns its id, which is never used again."""

    def remove_channel(self, channel_id: int) -> None:
        """Withdraws a channel."""

    def send(self, channel_id: int, payload: bytes, log_time_ns: int) -> None:
        """Sends a serialized message to the channel's subscribers."""

    def send_time(self, time_ns: int) -> None:
        """Tells all clients the time; only where the endpoint ``sends_time``."""

    def stop(self) -> None:
        """Disconnects all clients and ends the server's threads."""


@dataclass(frozen=True)
class _Backend:
    module: str
    library: str


_BACKENDS = {
    "sdk": _Backend("tinybev_ros.foxglove.sdk_server", "foxglove-sdk"),
    "websocket": _Backend("tinybev_ros.foxglove.websocket_server", "foxglove-websocket"),
}
BACKEND_NAMES = tuple(_BACKENDS)


def start_server(backend: str, endpoint: Endpoint, listener: Listener) -> Server:
    """Starts the server named ``backend``, one of BACKEND_NAMES.

    Raises UserError when the backend is unknown, its library is not installed or it cannot listen on the endpoint.
    """
    if backend not in _BACKENDS:
        raise UserError(f"The parameter backend must be one of {', '.join(BACKEND_NAMES)}, not {backend!r}.")
    try:
        module = importlib.import_module(_BACKENDS[backend].module)
    except ModuleNotFoundError as error:
        library = _BACKENDS[backend].library
        raise UserError(
            f"The Foxglove backend {backend!r} needs the Python package {library} (no module named {error.name!r}); "
            f"run `pip install {library}`, or choose the other with the parameter backend "
            f"({' or '.join(BACKEND_NAMES)})."
        ) from error
    try:
        server: Server = module.start(endpoint, listener)
    except OSError as error:
        raise UserError(
            f"The Foxglove server cannot listen on {endpoint.host} port {endpoint.port} ({error}); "
            "stop the program that holds the port, or choose another with the parameter port (and host)."
        ) from error
    return server
