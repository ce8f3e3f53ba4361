"""`anabranch tracker` as the tracker of a test, for programs that are not ours."""

from __future__ import annotations

from programs import command

from .real_tracker import RealTracker


class OurTracker(RealTracker):
    """Our own, by its command line, from `with` to the end of the block. It serves every torrent."""

    def _command(self) -> list[str]:
        return command("tracker", "--bind", self.host, "--port", str(self.port), "-v")
