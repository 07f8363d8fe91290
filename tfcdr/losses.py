"""Loss terms that systems share. Pure functions; none of them reduces over the batch.

Reduce with `weighted_mean`, so that rows which only fill a batch up do not count.
"""

import tensorflow as tf

# The score of what is no negative: far below any other, and finite.
_ABSENT = -1e9


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns sum(values * weights) / sum(weights), and 0 if all weights are 0.

    Args:
      values: float, any shape.
      weights: float, the same shape; 0 leaves an entry out.
    """
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


def pairwise_cross_entropy(
    positive: tf.Tensor, negative: tf.Tensor, present: tf.Tensor | None = None
) -> tf.Tensor:
    """Cross-entropy of a positive's and its negatives' logits: PeterRec SPEC section 4.

    softplus(-p) + mean_n softplus(n) equals -log(sigmoid(p)) - log(1 - sigmoid(n)) without its
    saturation, which in the released form kills the gradient beyond a logit of about 17.

    Args:
      positive: float [...] logits.
      negative: float [..., negatives] logits.
      present: bool [..., negatives], false for what is no negative; None if all are.

    Returns:
      Float [...].
    """
    return tf.nn.softplus(-positive) + _mean(tf.nn.softplus(negative), present)


def calibrated_cross_entropy(
    positive: tf.Tensor,
    negative: tf.Tensor,
    items: int,
    calibration: float,
    present: tf.Tensor | None = None,
) -> tf.Tensor:
    """gBCE: cross-entropy that makes up for how few of all items are negatives.

    (beta softplus(-p) + sum_n softplus(n)) / (k + 1), the positive's probability raised to
    beta = a (t (1 - 1/a) + 1/a), with a = k / (items - 1) the share of the negatives that were
    drawn and t the calibration: 0 is plain cross-entropy, and at 1 the sigmoids estimate
    probabilities that sampling does not inflate (Petrov and Macdonald, RecSys 2023).

    Args:
      positive: float [...] logits.
      negative: float [..., negatives] logits of k items drawn uniformly.
      items: of the catalogue.
      calibration: t in [0, 1].
      present: as in `pairwise_cross_entropy`; k counts these alone.

    Returns:
      Float [...].
    """
    of_negatives = tf.nn.softplus(negative)
    if present is None:
        number = tf.constant(float(negative.shape[-1]))
        total = tf.reduce_sum(of_negatives, -1)
    else:
        weights = tf.cast(present, negative.dtype)
        number = tf.reduce_sum(weights, -1)
        total = tf.reduce_sum(weights * of_negatives, -1)
    share = tf.minimum(number / max(items - 1, 1), 1.0)
    # a (t (1 - 1/a) + 1/a), multiplied out: nothing is divided by a share of 0.
    beta = calibration * (share - 1) + 1
    return (beta * tf.nn.softplus(-positive) + total) / (number + 1)


def bayesian_personalized_ranking(
    positive: tf.Tensor, negative: tf.Tensor, present: tf.Tensor | None = None
) -> tf.Tensor:
    """BPR, -log sigmoid(p - n), averaged over the negatives (Rendle et al., UAI 2009).

    Args:
      positive: float [...] logits.
      negative: float [..., negatives] logits.
      present: as in `pairwise_cross_entropy`.

    Returns:
      Float [...].
    """
    return _mean(tf.nn.softplus(negative - positive[..., tf.newaxis]), present)


def bpr_softmax(
    positive: tf.Tensor, negative: tf.Tensor, present: tf.Tensor | None = None
) -> tf.Tensor:
    """BPR over several negatives, the harder ones counting more: TiMiRec SPEC section 4.

    -log sum_j p_j sigmoid(y - y_j) with p the softmax of the negatives' scores y_j; gradients run
    through p. One negative gives plain BPR. Computed from log p + log sigmoid, so that no score
    gap underflows. (BPR-max without its penalty: Hidasi and Karatzoglou, CIKM 2018.)

    Args:
      positive: float [...] scores y.
      negative: float [..., negatives] scores y_j.
      present: as in `pairwise_cross_entropy`.

    Returns:
      Float [...].
    """
    if present is not None:
        negative = tf.where(present, negative, _ABSENT)
    log_sigmoid = -tf.nn.softplus(negative - positive[..., tf.newaxis])
    return -tf.reduce_logsumexp(tf.nn.log_softmax(negative) + log_sigmoid, -1)


def scores_of_shared(
    hidden: tf.Tensor,
    labels: tf.Tensor,
    item_vectors: tf.Tensor,
    item_bias: tf.Tensor | None,
    sampled_ids: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores labels, and one sample of items that the whole batch shares.

    Args:
      hidden: float [..., channels]; the product with the sample is computed in its precision.
      labels: int [...] ids.
      item_vectors: float32 [rows, channels].
      item_bias: float [rows] or None.
      sampled_ids: int [samples].

    Returns:
      Float32 [...] and [..., samples].
    """
    of_labels = tf.gather(item_vectors, labels)
    label_logit = tf.reduce_sum(tf.cast(hidden, of_labels.dtype) * of_labels, -1)
    # Two dimensions: XLA on CPU takes the gradient of a product over [batch, time] rows to a loop
    # that is tens of times slower than its matrix product.
    rows = tf.reshape(hidden, (-1, hidden.shape[-1]))
    of_samples = tf.cast(tf.gather(item_vectors, sampled_ids), rows.dtype)
    sampled_logits = tf.matmul(rows, of_samples, transpose_b=True)
    sampled_logits = tf.cast(sampled_logits, of_labels.dtype)
    shape = tf.concat([tf.shape(labels), tf.shape(sampled_ids)], 0)
    sampled_logits = tf.reshape(sampled_logits, shape)
    if item_bias is not None:
        label_logit += tf.gather(item_bias, labels)
        sampled_logits += tf.gather(item_bias, sampled_ids)
    return label_logit, sampled_logits


def sampled_softmax(
    hidden: tf.Tensor,
    labels: tf.Tensor,
    item_vectors: tf.Tensor,
    item_bias: tf.Tensor | None,
    sampled_ids: tf.Tensor,
    sampled_mask: tf.Tensor,
    label_log_count: tf.Tensor,
    sampled_log_count: tf.Tensor,
) -> tf.Tensor:
    """Softmax cross-entropy over the label and one sample that the whole batch shares.

    Logits are corrected by the log of each id's expected count in the sample, and a sampled id
    that is the label itself ("accidental hit") gets no probability (Jean et al., ACL 2015).

    Args:
      hidden: float [..., channels]; the product with the sample is computed in its precision.
      labels: int [...] ids.
      item_vectors: float32 [rows, channels].
      item_bias: float [rows] or None.
      sampled_ids: int [samples].
      sampled_mask: bool [samples] or [..., samples]; false leaves an entry out, such as a repeated
        draw.
      label_log_count: float [...], log of each label's expected count.
      sampled_log_count: float [samples].

    Returns:
      Float [...], the cross-entropy at each position.
    """
    scores = scores_of_shared(hidden, labels, item_vectors, item_bias, sampled_ids)
    label_logit, sampled_logits = scores[0] - label_log_count, scores[1] - sampled_log_count
    competes = sampled_mask & (sampled_ids != labels[..., tf.newaxis])
    sampled_logits = tf.where(competes, sampled_logits, sampled_logits.dtype.min)
    logits = tf.concat([label_logit[..., tf.newaxis], sampled_logits], -1)
    return tf.reduce_logsumexp(logits, -1) - label_logit


def _mean(values: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
    """Averages the present values of the last axis; 0 where none is."""
    if present is None:
        return tf.reduce_mean(values, -1)
    weights = tf.cast(present, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values, -1), tf.reduce_sum(weights, -1))
