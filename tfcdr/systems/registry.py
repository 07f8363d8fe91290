"""The systems by name. A new one adds its line here."""

from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.system import System
from tfcdr.systems.daa.evaluation import ImpressionEvaluationOptions
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.peterrec.system import PeterRec
from tfcdr.systems.timirec.system import TiMiRec

SYSTEMS: dict[str, System] = {system.name: system for system in (PeterRec(), TiMiRec(), Daa())}
# The groups of flags that say how a system's models are evaluated.
EVALUATION_OPTIONS: dict[str, type] = {
    "evaluation": EvaluationOptions,
    "impression_evaluation": ImpressionEvaluationOptions,
}
