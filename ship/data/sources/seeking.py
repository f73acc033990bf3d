"""A file that is computed while it is read: what all such files say of where they are."""

from __future__ import annotations

import io
import os
from abc import abstractmethod


class Computed(io.RawIOBase):
    """Content that is read from `at` on, and can be sought; whoever derives from it fills the buffer."""

    at = 0

    @abstractmethod
    def end(self) -> int:
        """Bytes of content."""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes of content from the start."""
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte of the content."""
        start = self.end() if whence == os.SEEK_END else self.at if whence == os.SEEK_CUR else 0
        self.at = max(0, start + offset)
        return self.at
