"""The graph functions of models of several targets that are exported as one.

Both signatures of `signatures.py` take one input more, `domain` string [batch] or [1]: the target
of each row, or of all. It may be left out, which asks for the first target. A request with a domain
that the export does not have is refused as a whole, and the answer names it.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfcdr.ranking.retrieval import MISSING_SCORE
from tfcdr.ranking.signatures import RECOMMEND, Signatures
from tfcdr.serving.saved_model import SERVING_DEFAULT

_Outputs = dict[str, tf.Tensor]
_MISSING = {tf.string: "", tf.float32: MISSING_SCORE, tf.int32: 0}


class TargetSignatures:
    """Answers each row of a request with the model of its domain."""

    def __init__(self, targets: Mapping[str, Signatures]) -> None:
        """Takes what answers by the names of targets; the first is asked by default."""
        self._targets = targets

    def functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Returns both signatures, for batches of any size."""
        first_name, first_target = next(iter(self._targets.items()))
        first = tf.constant([first_name])
        table = tf.TensorSpec([None, None], tf.string)
        kinds = [table, table, tf.TensorSpec([None], tf.string)]

        @tf.function(input_signature=kinds, autograph=False)
        def score(history: tf.Tensor, candidates: tf.Tensor, domain: tf.Tensor = first) -> _Outputs:
            shape = tf.shape(candidates)
            return self._by_domain(Signatures.score, history, candidates, domain, shape[1])

        @tf.function(input_signature=kinds, autograph=False)
        def recommend(
            history: tf.Tensor, seen_items: tf.Tensor, domain: tf.Tensor = first
        ) -> _Outputs:
            width = first_target.recommender.top_k
            return self._by_domain(Signatures.recommend, history, seen_items, domain, width)

        return {SERVING_DEFAULT: score, RECOMMEND: recommend}

    def _by_domain(
        self,
        answer: Callable[[Signatures, tf.Tensor, tf.Tensor], _Outputs],
        history: tf.Tensor,
        items: tf.Tensor,
        domain: tf.Tensor,
        width: int | tf.Tensor,
    ) -> _Outputs:
        """Lets each target answer its own rows.

        Args:
          answer: of one target.
          history: string [batch, any].
          items: string [batch, any].
          domain: string [batch] or [1].
          width: columns of every target's answers.
        """
        rows = tf.shape(history)[0]
        self._refuse_unknown(domain)
        domain = tf.broadcast_to(domain, [rows])
        outputs: _Outputs = {}
        for name, target in self._targets.items():
            places = tf.where(domain == name)
            own = tf.reshape(places, [-1])
            answers = answer(target, tf.gather(history, own), tf.gather(items, own))
            for key, values in answers.items():
                if key not in outputs:
                    shape = [rows, width] if values.shape.rank == 2 else [rows]
                    outputs[key] = tf.fill(shape, _MISSING[values.dtype])
                outputs[key] = tf.tensor_scatter_nd_update(outputs[key], places, values)
        return outputs

    def _refuse_unknown(self, domain: tf.Tensor) -> None:
        known = tf.reduce_any(domain[:, tf.newaxis] == list(self._targets), 1)
        unknown = tf.boolean_mask(domain, tf.logical_not(known))
        message = f"no such domain; this export has {', '.join(self._targets)}:"
        # In a saved graph an assertion is the one way to an error; it lists the names.
        tf.debugging.Assert(tf.reduce_all(known), [message, unknown], summarize=10)
