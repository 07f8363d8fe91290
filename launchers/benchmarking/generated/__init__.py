"""Generated data sets by the kind of log. A new kind is a module and a line here.

Each is made by the real conversion from a log that is drawn.
"""

from launchers.benchmarking.generated.domain_sequences import DomainSequences
from launchers.benchmarking.generated.generator import Generator
from launchers.benchmarking.generated.impressions import Impressions
from launchers.benchmarking.generated.interactions import Interactions
from tfcdr.system import System

# By `System.log`.
GENERATORS: dict[str, Generator] = {"interactions": Interactions(), "impressions": Impressions()}
_DOMAIN_SEQUENCES = DomainSequences()


def generator_of(system: System) -> Generator:
    """Returns what draws data as a system reads them."""
    return _DOMAIN_SEQUENCES if system.joint_targets else GENERATORS[system.log]
