"""Images that are decoded before their set is complete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev_ros.early_images import EarlyImages


def letters(message: bytes | bytearray) -> NDArray[np.uint8]:
    """Stands for decoding; refuses what is empty."""
    if not message:
        raise ValueError("empty")
    return np.frombuffer(message, dtype=np.uint8)


def test_the_image_that_came_first_is_decoded_first_and_a_newer_one_takes_its_place_at_the_end() -> None:
    images: EarlyImages[bytes] = EarlyImages(letters)
    old, new, other = b"old", b"new", b"other"
    for camera, message in (("front", old), ("back", other), ("front", new)):
        images.add(camera, message)
    images.decode_one()
    assert images.take("front", new) is None
    found = images.take("back", other)
    assert found is not None
    assert found.pixels.tobytes() == other
    assert found.decode_ms >= 0.0
    assert not images.waiting  # the one that was taken without having been decoded does not wait either


def test_only_the_very_message_is_given_and_only_once() -> None:
    images: EarlyImages[bytearray] = EarlyImages(letters)
    message, equal = bytearray(b"abc"), bytearray(b"abc")
    images.add("front", message)
    images.decode_one()
    assert images.take("front", equal) is None
    assert images.take("back", message) is None
    assert images.take("front", message) is not None
    assert images.take("front", message) is None


def test_what_cannot_be_decoded_is_not_there_and_nothing_waits_for_it() -> None:
    images: EarlyImages[bytes] = EarlyImages(letters)
    images.decode_one()
    images.add("front", b"")
    assert images.waiting
    images.decode_one()
    assert not images.waiting
    assert images.take("front", b"") is None


def test_an_image_that_came_while_the_one_before_was_decoded_still_waits() -> None:
    class Message:
        pass

    first, second = Message(), Message()

    def decode(message: Message) -> NDArray[np.uint8]:
        if message is first:
            images.add("front", second)
        return np.zeros(1, dtype=np.uint8)

    images: EarlyImages[Message] = EarlyImages(decode)
    images.add("front", first)
    images.decode_one()
    assert images.waiting
    assert images.take("front", first) is not None
    images.decode_one()
    assert images.take("front", second) is not None
