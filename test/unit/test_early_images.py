"""Images that are decoded before their set is complete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev_ros.early_images import KEPT, EarlyImages


def letters(message: bytes | bytearray) -> NDArray[np.uint8]:
    """Stands for decoding; refuses what is empty."""
    if not message:
        raise ValueError("empty")
    return np.frombuffer(message, dtype=np.uint8)


def test_images_are_decoded_one_after_the_other_until_none_waits() -> None:
    images: EarlyImages[bytes] = EarlyImages(letters)
    front, back = b"front", b"back"
    images.add("front", front)
    images.add("back", back)
    for _ in range(2):
        assert images.waiting
        images.decode_one()
    assert not images.waiting
    for camera, message in (("front", front), ("back", back)):
        found = images.take(camera, message)
        assert found is not None
        assert found.pixels.tobytes() == message
        assert found.decode_ms >= 0.0


def test_the_next_image_of_a_camera_leaves_the_one_that_its_set_still_waits_for() -> None:
    images: EarlyImages[bytes] = EarlyImages(letters)
    messages = [b"0", b"1", b"2"]
    for message in messages:
        images.add("front", message)
    while images.waiting:
        images.decode_one()
    assert KEPT == 2
    assert images.take("front", messages[0]) is None  # gave way
    assert images.take("front", messages[1]) is not None
    assert images.take("front", messages[2]) is not None


def test_what_was_taken_does_not_wait_and_neither_does_what_is_older() -> None:
    images: EarlyImages[bytes] = EarlyImages(letters)
    old, new = b"old", b"new"
    images.add("front", old)
    images.add("front", new)
    assert images.take("front", new) is None  # not decoded yet
    assert not images.waiting


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
