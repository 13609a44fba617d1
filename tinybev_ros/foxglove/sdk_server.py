"""Foxglove WebSocket server over the library foxglove-sdk (protocol ``foxglove.sdk.v1``, what today's Foxglove speaks).

It keeps a queue of BACKLOG messages for every client and drops the oldest. As it announces no capability but, on
request, the time, the library itself refuses whatever a client wants to change. It announces a new channel some
microseconds before it takes subscriptions to it; a program that answers faster must subscribe again.
"""

from __future__ import annotations

import foxglove
from foxglove.websocket import Capability, ChannelView, Client, ServerListener, WebSocketServer

from tinybev_ros.foxglove.schemas import SCHEMA_ENCODING
from tinybev_ros.foxglove.server import BACKLOG, Channel, Endpoint, Listener


class _Subscriptions(ServerListener):
    """The library's notices of subscriptions, passed on."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        self._listener.on_subscribe(channel.id)

    def on_unsubscribe(self, client: Client, channel: ChannelView) -> None:
        self._listener.on_unsubscribe(channel.id)


class SdkServer:
    """See ``tinybev_ros.foxglove.server.Server``."""

    def __init__(self, context: foxglove.Context, server: WebSocketServer) -> None:
        self._context = context
        self._server = server
        self._channels: dict[int, foxglove.Channel] = {}
        self.port: int = server.port

    def add_channel(self, channel: Channel) -> int:
        schema = foxglove.Schema(name=channel.type_name, encoding=SCHEMA_ENCODING, data=channel.schema.encode("utf-8"))
        opened = foxglove.Channel(channel.topic, message_encoding="cdr", schema=schema, context=self._context)
        self._channels[opened.id()] = opened
        return opened.id()

    def remove_channel(self, channel_id: int) -> None:
        self._channels.pop(channel_id).close()

    def send(self, channel_id: int, payload: bytes, log_time_ns: int) -> None:
        self._channels[channel_id].log(payload, log_time=log_time_ns)

    def send_time(self, time_ns: int) -> None:
        self._server.broadcast_time(time_ns)

    def stop(self) -> None:
        for channel_id in list(self._channels):
            self.remove_channel(channel_id)
        self._server.stop()


def start(endpoint: Endpoint, listener: Listener) -> SdkServer:
    """Starts a server; raises OSError when it cannot listen."""
    context = foxglove.Context()  # not the library's global one, which would show its channels on every server
    try:
        server = foxglove.start_server(
            name=endpoint.name,
            host=endpoint.host,
            port=endpoint.port,
            capabilities=[Capability.Time] if endpoint.sends_time else [],
            server_listener=_Subscriptions(listener),
            context=context,
            message_backlog_size=BACKLOG,
        )
    except RuntimeError as error:  # the library's only error; all arguments but host and port are ours
        raise OSError(str(error).rpartition("Failed to bind port: ")[2]) from error
    return SdkServer(context, server)
