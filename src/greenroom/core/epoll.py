"""The poller of an uncompiled install: there is no epoll.pyx, so the plain one.  layer: core"""

from greenroom.core.selector import SelectorPoller as EpollPoller

__all__ = ["EpollPoller"]
