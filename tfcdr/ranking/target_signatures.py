"""The graph functions of models of several targets that are exported as one.

Both signatures of `signatures.py` take one input more, `domain`; see `serving/by_domain.py`.
"""

from collections.abc import Mapping

import tensorflow as tf

from tfcdr.ranking.signatures import RECOMMEND, Signatures
from tfcdr.serving import by_domain
from tfcdr.serving.saved_model import SERVING_DEFAULT

_Outputs = dict[str, tf.Tensor]


def of_targets(
    targets: Mapping[str, Signatures],
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns both signatures, for batches of any size; the first target is asked by default."""
    first = tf.constant([next(iter(targets))])
    table = tf.TensorSpec([None, None], tf.string)
    kinds = [table, table, tf.TensorSpec([None], tf.string)]
    scoring = {name: target.score for name, target in targets.items()}
    recommending = {name: target.recommend for name, target in targets.items()}

    @tf.function(input_signature=kinds, autograph=False)
    def score(history: tf.Tensor, candidates: tf.Tensor, domain: tf.Tensor = first) -> _Outputs:
        return by_domain.answers(scoring, (history, candidates), domain)

    @tf.function(input_signature=kinds, autograph=False)
    def recommend(history: tf.Tensor, seen_items: tf.Tensor, domain: tf.Tensor = first) -> _Outputs:
        return by_domain.answers(recommending, (history, seen_items), domain)

    return {SERVING_DEFAULT: score, RECOMMEND: recommend}
