"""Generated data sets by the kind of log. A new kind is a module and a line here.

Each is made by the real conversion from a log that is drawn.
"""

from launchers.benchmarking.generated.generator import Generator
from launchers.benchmarking.generated.impressions import Impressions
from launchers.benchmarking.generated.interactions import Interactions

# By `System.log`.
GENERATORS: dict[str, Generator] = {"interactions": Interactions(), "impressions": Impressions()}
