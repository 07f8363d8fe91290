"""Loss terms that systems share. Pure functions; none of them reduces over the batch.

Reduce with `weighted_mean`, so that rows which only fill a batch up do not count.
"""

import tensorflow as tf


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns sum(values * weights) / sum(weights), and 0 if all weights are 0.

    Args:
      values: float, any shape.
      weights: float, the same shape; 0 leaves an entry out.
    """
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


def pairwise_cross_entropy(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of a positive's and its negatives' logits: PeterRec SPEC section 4.

    softplus(-p) + mean_n softplus(n) equals -log(sigmoid(p)) - log(1 - sigmoid(n)) without its
    saturation, which in the released form kills the gradient beyond a logit of about 17.

    Args:
      positive: float [batch] logits.
      negative: float [batch, negatives] logits.

    Returns:
      Float [batch].
    """
    return tf.nn.softplus(-positive) + tf.reduce_mean(tf.nn.softplus(negative), -1)


def bayesian_personalized_ranking(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """BPR, -log sigmoid(p - n), averaged over the negatives (Rendle et al., UAI 2009).

    Args:
      positive: float [batch] logits.
      negative: float [batch, negatives] logits.

    Returns:
      Float [batch].
    """
    return tf.reduce_mean(tf.nn.softplus(negative - positive[:, tf.newaxis]), -1)


def bpr_softmax(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """BPR over several negatives, the harder ones counting more: TiMiRec SPEC section 4.

    -log sum_j p_j sigmoid(y - y_j) with p the softmax of the negatives' scores y_j; gradients run
    through p. One negative gives plain BPR. Computed from log p + log sigmoid, so that no score
    gap underflows.

    Args:
      positive: float [batch] scores y.
      negative: float [batch, negatives] scores y_j.

    Returns:
      Float [batch].
    """
    log_sigmoid = -tf.nn.softplus(negative - positive[:, tf.newaxis])
    return -tf.reduce_logsumexp(tf.nn.log_softmax(negative) + log_sigmoid, -1)


def sampled_softmax(
    hidden: tf.Tensor,
    labels: tf.Tensor,
    item_vectors: tf.Tensor,
    item_bias: tf.Tensor,
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
      item_bias: float [rows].
      sampled_ids: int [samples].
      sampled_mask: bool [samples]; false leaves an entry out (a repeated draw).
      label_log_count: float [...], log of each label's expected count.
      sampled_log_count: float [samples].

    Returns:
      Float [...], the cross-entropy at each position.
    """
    of_labels = tf.gather(item_vectors, labels)
    label_logit = tf.reduce_sum(tf.cast(hidden, of_labels.dtype) * of_labels, -1)
    label_logit += tf.gather(item_bias, labels) - label_log_count
    # Two dimensions: XLA on CPU takes the gradient of a product over [batch, time] rows to a loop
    # that is tens of times slower than its matrix product.
    rows = tf.reshape(hidden, (-1, hidden.shape[-1]))
    of_samples = tf.cast(tf.gather(item_vectors, sampled_ids), rows.dtype)
    sampled_logits = tf.matmul(rows, of_samples, transpose_b=True)
    sampled_logits = tf.cast(sampled_logits, item_vectors.dtype)
    shape = tf.concat([tf.shape(labels), tf.shape(sampled_ids)], 0)
    sampled_logits = tf.reshape(sampled_logits, shape)
    sampled_logits += tf.gather(item_bias, sampled_ids) - sampled_log_count
    competes = sampled_mask & (sampled_ids != labels[..., tf.newaxis])
    sampled_logits = tf.where(competes, sampled_logits, sampled_logits.dtype.min)
    logits = tf.concat([label_logit[..., tf.newaxis], sampled_logits], -1)
    return tf.reduce_logsumexp(logits, -1) - label_logit
