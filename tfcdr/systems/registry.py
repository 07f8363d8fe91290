"""The systems by name. A new one adds its line here."""

from tfcdr.system import System
from tfcdr.systems.biao.system import Biao
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.neighbours.system import Neighbours
from tfcdr.systems.peterrec.system import PeterRec
from tfcdr.systems.syncrec.system import SyncRec
from tfcdr.systems.timirec.system import TiMiRec

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (PeterRec(), TiMiRec(), Daa(), Biao(), SyncRec(), Neighbours())
}
