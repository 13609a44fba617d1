"""A WebSocket client that speaks the Foxglove protocol by hand, for tests of the bridge."""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOLS = {"sdk": "foxglove.sdk.v1", "websocket": "foxglove.websocket.v1"}
TIMEOUT_S = 20.0
ERROR_LEVEL = 2
_DATA = struct.Struct("<BIQ")
_TIME = struct.Struct("<BQ")


@dataclass(frozen=True)
class Data:
    """A message on a subscription of the client's."""

    subscription: int
    log_time_ns: int
    payload: bytes


@dataclass(frozen=True)
class ServerTime:
    """The server's time."""

    time_ns: int


Found = TypeVar("Found")


class FoxgloveClient:
    """One connection. Messages that a wait does not ask for stay for later waits."""

    def __init__(self, port: int, protocol: str, **options: Any) -> None:
        self._connection: ClientConnection = connect(
            f"ws://127.0.0.1:{port}", subprotocols=[Subprotocol(protocol)], max_size=None, compression=None, **options
        )
        self._unread: list[Any] = []
        self.subprotocol = self._connection.subprotocol
        self.server_info = self.wait(lambda message: message if _op(message) == "serverInfo" else None)
        self.channels: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> FoxgloveClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def send(self, message: dict[str, Any] | bytes) -> None:
        self._connection.send(message if isinstance(message, bytes) else json.dumps(message))

    def wait(self, wanted: Callable[[Any], Found | None]) -> Found:
        """What ``wanted`` returns for the first message, unread or still to come, that it does not answer with None."""
        for index, message in enumerate(self._unread):
            found = wanted(message)
            if found is not None:
                del self._unread[index]
                return found
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            message = _decode(self._connection.recv(timeout=max(0.0, deadline - time.monotonic())))
            found = wanted(message)
            if found is not None:
                return found
            self._unread.append(message)

    def channel(self, topic: str) -> dict[str, Any]:
        """The newest advertised channel of a topic, waited for."""

        def advertised(message: Any) -> dict[str, dict[str, Any]] | None:
            return {c["topic"]: c for c in message["channels"]} if _op(message) == "advertise" else None

        while topic not in self.channels:
            self.channels |= self.wait(advertised)
        return self.channels[topic]

    def wait_unadvertised(self, topic: str) -> None:
        channel = self.channels.pop(topic)
        self.wait(lambda m: True if _op(m) == "unadvertise" and channel["id"] in m["channelIds"] else None)

    def subscribe(self, topic: str, subscription: int) -> None:
        """Subscribes to a topic; returns when the server has registered it."""
        channel_id = self.channel(topic)["id"]
        refusal = f"Unknown channel ID: {channel_id}"
        while refusal:  # foxglove-sdk announces a channel some microseconds before it takes subscriptions
            self.send({"op": "subscribe", "subscriptions": [{"id": subscription, "channelId": channel_id}]})
            refusal = next((error for error in self._errors_so_far() if error == refusal), "")

    def unsubscribe(self, subscription: int) -> None:
        """Ends a subscription; returns when the server has done so."""
        self.send({"op": "unsubscribe", "subscriptionIds": [subscription]})
        self._errors_so_far()

    def _errors_so_far(self) -> list[str]:
        """The errors reported for what was sent so far; answers come in order, so one more refusal marks the end."""
        self.send({"op": "getParameters", "parameterNames": []})
        errors = [self.error()]
        while not re.search("parameters|read-only", errors[-1]):
            errors.append(self.error())
        return errors[:-1]

    def data(self, subscription: int) -> Data:
        return self.wait(lambda m: m if isinstance(m, Data) and m.subscription == subscription else None)

    def unread_data(self) -> list[Data]:
        """The messages that have come and were not asked for yet."""
        self._errors_so_far()
        return [message for message in self._unread if isinstance(message, Data)]

    def error(self) -> str:
        """The text of the next message that reports an error."""

        def reported(message: Any) -> str | None:
            failed = _op(message) == "serviceCallFailure" or (
                _op(message) == "status" and message["level"] == ERROR_LEVEL
            )
            return str(message["message"]) if failed else None

        return self.wait(reported)


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; fails after TIMEOUT_S. For what ROS tells only when asked, its graph."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _op(message: Any) -> str | None:
    return message["op"] if isinstance(message, dict) else None


def _decode(message: str | bytes) -> Any:
    if isinstance(message, str):
        return json.loads(message)
    if message[0] == 1:
        _, subscription, log_time_ns = _DATA.unpack_from(message)
        return Data(subscription, log_time_ns, message[_DATA.size :])
    assert message[0] == 2, f"unexpected binary message {message[0]}"
    return ServerTime(_TIME.unpack(message)[1])
