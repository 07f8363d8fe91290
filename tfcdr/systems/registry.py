"""The systems by name. A new one adds its line here."""

from tfcdr.system import System
from tfcdr.systems.peterrec.system import PeterRec

SYSTEMS: dict[str, System] = {system.name: system for system in (PeterRec(),)}
