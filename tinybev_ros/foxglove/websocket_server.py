"""Foxglove WebSocket server over the library foxglove-websocket (protocol ``foxglove.websocket.v1``).

Older and open-source viewers speak that protocol; the library's authors have deprecated it in favour of foxglove-sdk,
and 0.1.4 is its last release. By itself it keeps an unbounded amount for a slow client, accepts what clients publish,
and tells only of the first subscriber of a channel; the classes here add what the bridge needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from foxglove_websocket.server import ConnectionClosed, FoxgloveServer, MessageDataHeader, TimeDataHeader
from foxglove_websocket.types import BinaryOpcode, ChannelWithoutId, StatusLevel

from tinybev_ros.foxglove.schemas import SCHEMA_ENCODING
from tinybev_ros.foxglove.server import BACKLOG, Channel, Endpoint, Listener

_LOGGER = logging.getLogger(__name__)
_ALLOWED = frozenset({"subscribe", "unsubscribe"})
_REPLY_S = 10.0  # longest wait for an answer of the thread of the server
_CLOSE_S = 1.0  # longest wait for a client to confirm that the connection ends


class _Client:
    """What one connection has subscribed to and what is still to be sent to it.

    Of data only the newest BACKLOG messages are kept. Control messages, of which there is about one a topic, are all
    kept and go first.
    """

    def __init__(self, connection: Any) -> None:
        self.channels: frozenset[int] = frozenset()
        self._connection = connection
        self._control: deque[str] = deque()
        self._data: deque[bytes] = deque(maxlen=BACKLOG)
        self._filled = asyncio.Event()

    def put_control(self, message: str) -> None:
        self._control.append(message)
        self._filled.set()

    def put_data(self, message: bytes) -> None:
        self._data.append(message)
        self._filled.set()

    async def send_all(self) -> None:
        """Sends what is put in, until the connection closes."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._filled.wait()
                while self._control or self._data:
                    await self._connection.send(self._control.popleft() if self._control else self._data.popleft())
                self._filled.clear()


class _ReadOnlyServer(FoxgloveServer):
    """The library's server, with a bounded queue for each client and no way in but subscriptions."""

    def __init__(self, endpoint: Endpoint, listening: socket.socket, listener: Listener) -> None:
        super().__init__(
            None,  # host and port come with the socket
            None,
            endpoint.name,
            capabilities=["time"] if endpoint.sends_time else [],
            logger=_LOGGER,
            server_kwargs={"sock": listening, "compression": None, "close_timeout": _CLOSE_S},
        )
        self._subscriptions = listener
        self._clients_by_connection: dict[Any, _Client] = {}

    async def broadcast_time(self, timestamp: int) -> None:
        for client in self._clients_by_connection.values():
            client.put_data(TimeDataHeader.pack(BinaryOpcode.TIME, timestamp))

    async def _handle_connection(self, connection: Any, path: str) -> None:
        client = self._clients_by_connection[connection] = _Client(connection)
        sending = asyncio.create_task(client.send_all())
        try:
            await super()._handle_connection(connection, path)
        finally:
            sending.cancel()
            del self._clients_by_connection[connection]
            self._set_channels(client, frozenset())

    async def _handle_client_text_message(self, client: Any, message: Mapping[str, Any]) -> None:
        if message.get("op") not in _ALLOWED:
            text = f"This server is read-only: {message.get('op')!r} is refused."
            await self._send_status(client.connection, StatusLevel.ERROR, text)
            return
        try:
            await super()._handle_client_text_message(client, message)
        finally:
            self._set_channels(
                self._clients_by_connection[client.connection], frozenset(client.subscriptions_by_channel)
            )

    async def _handle_client_binary_message(self, client: Any, message: bytes) -> None:
        text = "This server is read-only: messages and service calls are refused."
        await self._send_status(client.connection, StatusLevel.ERROR, text)

    def _set_channels(self, client: _Client, channels: frozenset[int]) -> None:
        for channel_id in channels - client.channels:
            self._subscriptions.on_subscribe(channel_id)
        for channel_id in client.channels - channels:
            self._subscriptions.on_unsubscribe(channel_id)
        client.channels = channels

    async def _send_json(self, connection: Any, msg: Any) -> None:
        client = self._clients_by_connection.get(connection)
        if client is not None:
            client.put_control(json.dumps(msg, separators=(",", ":")))

    async def _send_message_data(self, connection: Any, *, subscription: int, timestamp: int, payload: bytes) -> None:
        client = self._clients_by_connection.get(connection)
        if client is not None:
            client.put_data(MessageDataHeader.pack(BinaryOpcode.MESSAGE_DATA, subscription, timestamp) + payload)


class ThreadedServer:
    """See ``tinybev_ros.foxglove.server.Server``: the asyncio server above, in a thread of its own."""

    def __init__(self, endpoint: Endpoint, listening: socket.socket, listener: Listener) -> None:
        self.port: int = listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        started: Future[_ReadOnlyServer] = Future()
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve(endpoint, listening, listener, started)),
            name="foxglove-websocket",
        )
        self._thread.start()
        self._server = started.result()

    async def _serve(
        self, endpoint: Endpoint, listening: socket.socket, listener: Listener, started: Future[_ReadOnlyServer]
    ) -> None:
        try:
            async with _ReadOnlyServer(endpoint, listening, listener) as server:
                started.set_result(server)
                await self._stopping.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # or whoever waits for it would wait for ever

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def add_channel(self, channel: Channel) -> int:
        description = ChannelWithoutId(
            topic=channel.topic,
            encoding="cdr",
            schemaName=channel.type_name,
            schema=channel.schema,
            schemaEncoding=SCHEMA_ENCODING,
        )
        return int(self._call(self._server.add_channel(description)).result(_REPLY_S))

    def remove_channel(self, channel_id: int) -> None:
        self._call(self._server.remove_channel(channel_id)).result(_REPLY_S)

    def send(self, channel_id: int, payload: bytes, log_time_ns: int) -> None:
        self._call(self._server.send_message(channel_id, log_time_ns, payload))

    def send_time(self, time_ns: int) -> None:
        self._call(self._server.broadcast_time(time_ns))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()


def start(endpoint: Endpoint, listener: Listener) -> ThreadedServer:
    """Starts a server; raises OSError when it cannot listen."""
    family = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0][0]
    return ThreadedServer(endpoint, socket.create_server((endpoint.host, endpoint.port), family=family), listener)
