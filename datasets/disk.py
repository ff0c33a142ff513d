"""Exception -> is it the disk's? A full or read-only disk is no clip's fault: the run ends, to go on with room."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator

from datasets.remote import OUT_OF_REACH

# Only writing gives these; EIO may be a source's own bad sectors.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Nor is object storage that does not answer.
_ENDS_A_RUN = (*_DISK, OUT_OF_REACH)
# Less than this, and whatever failed in writing failed for want of room, whether its library says so or not.
LEAST_FREE_BYTES = 1 << 20


def disk_error(error: BaseException, *folders: str) -> OSError | None:
    """The error as one of the disk, when it is: what it says of itself or comes of, or that a folder has no room left.

    Folders that are not there, addresses among them, are not looked at.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _ENDS_A_RUN:
            # A library's own class may not survive the way from a worker process.
            said = one.strerror if one.errno == OUT_OF_REACH and one.strerror else os.strerror(one.errno)
            return OSError(one.errno, said, one.filename)
    for folder in folders:
        if os.path.isdir(folder) and shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
