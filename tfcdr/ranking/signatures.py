"""The graph functions of an exported model: raw item ids in, raw item ids and scores out.

| signature | input | output |
| --- | --- | --- |
| `serving_default` | `history` string [batch, any], `candidates` string [batch, any] | `scores` \
float32 [batch, any], one for each candidate |
| `recommend` | `history`, `seen_items` string [batch, any] | `items` string [batch, k] and \
`scores` float32 [batch, k], best first; `known` int32 [batch], ids of the history that are known |

`history` holds ids of any domains, oldest first, as `history_names.py` has it: `domain:item`, or a
bare id that one domain alone has. `candidates` and `seen_items` hold target ids, bare or as
`target:item`. Rows are filled up with "", anywhere. An unknown id in `history` or `seen_items`
counts as "", an unknown candidate scores the lowest float32. Only the latest `max_length` known ids
of a history are read. Who has no known id in the history gets the most popular items, and scores
that are their training interactions. Where a user has seen so much that fewer than k items are
left, `items` ends with "" and `scores` with the lowest float32.
"""

import dataclasses
import re

import tensorflow as tf

from tfcdr.ranking.recommender import Recommender
from tfcdr.ranking.retrieval import MISSING_SCORE
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.serving.token_lookup import NameLookup, TokenLookup

RECOMMEND = "recommend"


@dataclasses.dataclass(frozen=True)
class Signatures:
    """What answers requests.

    Attributes:
      domain: the target's name; "" if the ranked items are of several domains.
      recommender: ranks items by ids.
      histories: the names that histories hold.
      targets: the ids that are scored and recommended.
    """

    domain: str
    recommender: Recommender
    histories: NameLookup
    targets: TokenLookup

    def score(self, history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `serving_default`; see the module's docstring."""
        ids = self._target_ids(candidates)
        scores = self.recommender.score(self.histories.ids(history), ids)
        return {"scores": tf.where(ids > 0, scores, MISSING_SCORE)}

    def recommend(self, history: tf.Tensor, seen_items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `recommend`; see the module's docstring."""
        seen = self._target_ids(seen_items)
        best = self.recommender.recommend(self.histories.ids(history), seen)
        return {"items": self.targets.tokens(best.ids), "scores": best.scores, "known": best.known}

    def concrete(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Traces both signatures for batches of any size."""

        def rows(name: str) -> tf.TensorSpec:
            return tf.TensorSpec([None, None], tf.string, name=name)

        score = tf.function(self.score, autograph=False).get_concrete_function(
            rows("history"), rows("candidates")
        )
        recommend = tf.function(self.recommend, autograph=False).get_concrete_function(
            rows("history"), rows("seen_items")
        )
        return {SERVING_DEFAULT: score, RECOMMEND: recommend}

    def _target_ids(self, names: tf.Tensor) -> tf.Tensor:
        ids = self.targets.ids(names)
        if not self.domain:
            return ids
        bare = tf.strings.regex_replace(names, f"^{re.escape(self.domain)}:", "")
        return tf.where(ids > 0, ids, self.targets.ids(bare))
