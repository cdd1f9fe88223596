"""Names of devices, as OpenVINO writes them: a plugin, with or without an id, or one that stands on others.

A name that no plugin has is a mistake of whoever wrote it; whether a device is here is another question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from quantize_zoo import errors

_LISTING = ("BATCH", "HETERO", "MULTI")  # they stand on those that they list
_VIRTUAL = ("AUTO", *_LISTING)  # AUTO may list some
# OpenVINO's own plugins, and openvino_contrib's.
PLUGINS = ("CPU", "GPU", "NPU", "NVIDIA", "TEMPLATE", *_VIRTUAL)
_WITHOUT_IDS = ("CPU", *_VIRTUAL)
_NAME = re.compile(r"([A-Z]+)((?:\.[A-Za-z0-9_]+)*)")
_REQUESTS = re.compile(r"\([1-9][0-9]{0,4}\)$")  # how many MULTI gives a device at once: MULTI:GPU(4),CPU


def require_device_name(device: str, where: str, also: Iterable[str] = ()) -> None:
    """Refuse a device that is a mistake on every machine.

    Args:
        device: its name.
        where: the key or option that names it.
        also: names that may be meant, beside those of plugins.

    Raises:
        ConfigurationError: no plugin has the name or a part of it, or it lists devices as its plugin takes none.

    """
    virtual, _, listed = device.partition(":")
    names = [_bare(each) for each in listed.split(",") if each]
    if virtual in _LISTING and not names:
        raise errors.device_list(where, device, "lists no device", f"write {virtual}:GPU")
    part = _unknown_part(device)
    if part is not None:
        raise errors.unknown_device(where, device, part, {*PLUGINS, *also})
    twice = next((name for name in names if names.count(name) > 1), None)
    if virtual == "BATCH" and len(names) > 1:
        raise errors.device_list(where, device, "lists more than one device", f"write {virtual}:{names[0]}")
    if twice is not None:
        raise errors.device_list(where, device, f"lists {twice} more than once", "name each device once")


def _unknown_part(device: str) -> str | None:
    """Return the part of a device's name that no plugin of OpenVINO has; None if there is none such."""
    virtual, colon, listed = device.partition(":")
    if not colon:
        return None if _is_known(device) else device
    if virtual not in _VIRTUAL:
        return virtual if virtual not in PLUGINS else device
    return next((each for each in listed.split(",") if _bare(each) in _VIRTUAL or not _is_known(_bare(each))), None)


def devices_below(device: str) -> tuple[str, ...]:
    """Return the devices that a device needs: itself, or those that it lists; none where OpenVINO chooses."""
    virtual, _, listed = device.partition(":")
    if virtual not in _VIRTUAL:
        return (device,)
    return tuple(_bare(each) for each in listed.split(",") if each and not each.startswith("-"))


def _is_known(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found[1] in PLUGINS and not (found[1] in _WITHOUT_IDS and found[2])


def _bare(listed: str) -> str:
    """Return a name in a list without what AUTO and MULTI take beside it: a minus for what not to use, requests."""
    return _REQUESTS.sub("", listed.removeprefix("-"))
