"""Models of several targets that are exported as one: each row of a request asks one of them.

Signatures take one input more, `domain` string [batch] or [1]: the target of each row, or of all.
It may be left out, which asks for the first target. A request with a domain that the export does
not have is refused as a whole, and the answer names it.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

_Outputs = dict[str, tf.Tensor]


def answers(
    targets: Mapping[str, Callable[..., _Outputs]], inputs: Sequence[tf.Tensor], domain: tf.Tensor
) -> _Outputs:
    """Lets each target answer its own rows, in a graph.

    Args:
      targets: by name, what answers: of inputs, outputs [batch, ...] by name, whose other sizes are
        the same for all targets.
      inputs: [batch, ...].
      domain: string [batch] or [1].
    """
    _refuse_unknown(domain, list(targets))
    domain = tf.broadcast_to(domain, tf.shape(inputs[0])[:1])
    places = [tf.where(domain == name)[:, 0] for name in targets]
    of_targets = [
        answer(*(tf.gather(rows, own) for rows in inputs))
        for answer, own in zip(targets.values(), places, strict=True)
    ]
    return {
        name: tf.dynamic_stitch(
            [tf.cast(own, tf.int32) for own in places], [each[name] for each in of_targets]
        )
        for name in of_targets[0]
    }


def _refuse_unknown(domain: tf.Tensor, targets: list[str]) -> None:
    known = tf.reduce_any(domain[:, tf.newaxis] == targets, 1)
    unknown = tf.boolean_mask(domain, tf.logical_not(known))
    message = f"no such domain; this export has {', '.join(targets)}:"
    # In a saved graph an assertion is the one way to an error; it lists the names.
    tf.debugging.Assert(tf.reduce_all(known), [message, unknown], summarize=10)
