"""gevent.monkey.                                                                layer: compat"""

from typing import Any

from greenroom.patch import apply
from greenroom.patch.table import PARTS


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    queue: bool = True,
    ssl: bool = True,
    **others: Any,
) -> bool:
    """Patch the standard library; parts that greenroom does not tell apart are accepted."""
    parts = {"socket": socket, "dns": dns, "time": time, "select": select}
    apply.patch_all(**parts, thread=thread, queue=queue, ssl=ssl)
    return True


def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Patch socket alone."""
    _only("socket", *(["dns"] if dns else []))


def patch_ssl() -> None:
    """Patch ssl alone."""
    _only("ssl")


def patch_time() -> None:
    """Patch time.sleep alone."""
    _only("time")


def patch_thread(**options: Any) -> None:
    """Patch threading alone."""
    _only("thread")


def patch_select(aggressive: bool = True) -> None:
    """Patch select and selectors alone."""
    _only("select")


def patch_queue() -> None:
    """Patch queue alone."""
    _only("queue")


def _only(*parts: str) -> None:
    apply.patch_all(**{part: part in parts for part in PARTS})


def is_module_patched(name: str) -> bool:
    """Whether any name of the module is patched."""
    return any(target.partition(":")[0] == name for target in apply.targets())


def is_object_patched(module: str, name: str) -> bool:
    """Whether a module's name is patched."""
    return apply.is_patched(f"{module}.{name}")


def get_original(module: str, names: Any) -> Any:
    """Return what one name, or each of a list of names, was before patching."""
    if isinstance(names, str):
        return apply.original(f"{module}.{names}")
    return [apply.original(f"{module}.{name}") for name in names]
