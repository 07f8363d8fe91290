"""Evaluates models that rank items: every held-out interaction under both protocols."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from tfcdr.bar_gain import BarGain
from tfcdr.data_source import HistorySource, ViewRequest
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.evaluator import Evaluator
from tfcdr.ranking import beyond_accuracy, held_out_ranks, paired_bootstrap, shown_users
from tfcdr.ranking.held_out_ranks import Batches, EvaluationOptions, HeldOutRanker, Ranks
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.neighbours.bar import AskedLike, ItemNeighbours
from tfcdr.ranking.neighbours.model import HISTORY, NeighbourModel
from tfcdr.ranking.stage import RankingStage
from tfcdr.repeated_reading import HeldOutReadings, RepeatedReading
from tfcdr.report_section import Names, ShownUser
from tfcdr.row_groups import RowGroups
from tfcdr.stage_model import StageModel
from tfcdr.transfer_gain import TransferGain

# Candidates are drawn from this seed in every run, so that all runs rank among the same ones.
_CANDIDATE_SEED = 0

# Validation interactions that choose the neighbours' settings: the first so many.
_ROWS_THAT_CHOOSE = 4096

RanksByScorer = dict[tuple[str, str], Ranks]


class RankingEvaluator(Evaluator[RankingStage]):
    """Ranks held-out interactions by a model and by its bars; processes share the rows.

    Scores are `Ranks` by (protocol, scorer).
    """

    def __init__(
        self,
        data: HistorySource,
        options: EvaluationOptions,
        distribution: Distribution,
        groups: Sequence[RowGroups],
    ) -> None:
        """Creates the evaluator.

        Args:
          data: a prepared data set.
          options: how interactions are ranked.
          distribution: the devices and processes that share each batch.
          groups: of interactions, reported besides all of them.
        """
        self.monitor = options.monitor
        self._data = data
        self._options = options
        self._distribution = distribution
        self._groups = groups
        self._batch_size = distribution.shared_batch_size(options.batch_size)
        self._read = HeldOutReadings.of(data, self._batch_size, _CANDIDATE_SEED)
        # By the model's identity and whether neighbours rank, too; each keeps its model, so that
        # an identity is not used again.
        self._rankers: dict[tuple[int, bool], HeldOutRanker] = {}
        # The stage that trains and what it reads, if that is too much to stay in memory; the one
        # before is not read again.
        self._validation: tuple[RankingStage, RepeatedReading] | None = None
        # By the item space that is ranked.
        self._neighbours: dict[str, ItemNeighbours] = {}

    def check_data(self, stage: RankingStage, split: str) -> None:
        self._reading(stage, split)

    def validation(self, stage: RankingStage, model: StageModel) -> dict[str, float]:
        """Ranks by the chosen protocol, if the stage's view has candidates for it.

        Raises:
          RunError: the model can rank no validation interaction.
        """
        protocol = self._protocol(stage)
        batches = self._validation_batches(stage, protocol == "sampled")
        ranker = self._ranker(stage, model, with_neighbours=False)
        ranks = self._ranks(stage, ranker, "validation", batches, [protocol])
        figures = ranks[protocol, held_out_ranks.MODEL].summary(self._options.ks)
        if not figures:
            raise RunError(
                f"stage {stage.name}: no validation user has a history that the model can read, so "
                "that no epoch can be chosen; check how the conversion splits the data (--split.*)."
            )
        return figures

    def scores(self, stage: RankingStage, model: StageModel, split: str) -> RanksByScorer:
        self._fit_neighbours(stage, model)
        ranker = self._ranker(stage, model, with_neighbours=True)
        batches = self._reading(stage, split)
        return self._ranks(stage, ranker, split, batches, held_out_ranks.PROTOCOLS)

    def own_scores(self, stage: RankingStage, model: StageModel, split: str) -> RanksByScorer:
        """Ranks a split by the model and by popularity alone, in one process.

        Args:
          stage: the model's.
          model: ranks the items.
          split: "validation" or "test".

        Returns:
          As `scores`, without item neighbours, which take longer than most models.
        """
        ranker = HeldOutRanker(model, self._counts(stage), self._groups)
        return ranker(self._reading(stage, split))

    def headline(self, scores: RanksByScorer) -> dict[str, float]:
        """Returns the metrics of all users under the chosen protocol."""
        return self._chosen(scores).summary(self._options.ks)

    def table(self, scores: RanksByScorer) -> list[dict[str, Any]]:
        return held_out_ranks.tabulate(scores, self._groups, self._options.ks)

    def format_table(self, rows: Sequence[dict[str, Any]]) -> str:
        return held_out_ranks.format_table(rows, self.monitor)

    def transfer_gains(
        self, transfer: RanksByScorer, no_transfer: RanksByScorer, seed: int
    ) -> dict[str, TransferGain]:
        ours, others = self.completed(transfer, no_transfer)
        return paired_bootstrap.measure_groups(ours, others, self._groups, self.monitor, seed)

    def completed(self, transfer: RanksByScorer, no_transfer: RanksByScorer) -> tuple[Ranks, Ranks]:
        """Returns the ranks of all rows that one of two models can rank, by each of them.

        Who has no history that the other reads, gets the most popular from it.

        Args:
          transfer: the scores of one model.
          no_transfer: those of the other on the same split.
        """
        ours, others = (
            self._chosen(of).completed(self._chosen(other, held_out_ranks.MOST_POPULAR))
            for of, other in ((transfer, no_transfer), (no_transfer, transfer))
        )
        return ours, others

    def bar_gains(self, scores: RanksByScorer, seed: int) -> dict[str, dict[str, BarGain]]:
        """Compares the model with the bars, by NDCG at the last cut-off if `monitor` has none."""
        try:
            self._options.check_comparable()
            metric = self.monitor
        except ValueError:
            metric = f"NDCG@{self._options.ks[-1]}"
        found = {}
        for bar in held_out_ranks.BARS:
            ours, of_bar = self._chosen(scores), self._chosen(scores, bar)
            gains = paired_bootstrap.measure_groups(ours, of_bar, self._groups, metric, seed)
            found[bar] = {group: BarGain.of(bar, gain) for group, gain in gains.items()}
        return found

    def beyond_accuracy(
        self, stage: RankingStage, model: StageModel, split: str
    ) -> dict[tuple[str, str], dict[str, float]]:
        """Returns coverage@k and popularity@k; see `beyond_accuracy.measure`. For one process."""
        self._fit_neighbours(stage, model)
        neighbours, batches = self._neighbours_of(stage).model, self._reading(stage, split)
        return beyond_accuracy.measure(
            model, neighbours, self._counts(stage), batches, self._groups, self._options.ks
        )

    def shown_users(
        self, stage: RankingStage, model: StageModel, names: Names, number: int
    ) -> Sequence[ShownUser]:
        """Draws rows of the test; see `shown_users.draw`."""
        batches = self._reading(stage, "test", shared=False)
        space = _history_space(stage)
        return shown_users.draw(model, batches, space, stage.catalogue, names, number)

    def _chosen(self, scores: RanksByScorer, scorer: str = held_out_ranks.MODEL) -> Ranks:
        # A stage without candidates has one protocol alone.
        protocol = self._options.protocol
        return scores[protocol if (protocol, scorer) in scores else "full", scorer]

    def _protocol(self, stage: RankingStage) -> str:
        """Returns the protocol by which an epoch, or the neighbours' settings, are chosen."""
        sampled = self._options.protocol == "sampled" and stage.has_candidates
        return "sampled" if sampled else "full"

    def _fit_neighbours(self, stage: RankingStage, model: RankingModel) -> None:
        """Fits the bar that belongs to a stage's catalogue; every process fits the same."""
        neighbours = self._neighbours_of(stage)
        if neighbours.is_fitted:
            return
        batches = self._reading(stage, "validation", shared=False)
        some = batches.first(-(-_ROWS_THAT_CHOOSE // self._batch_size))
        ranker = HeldOutRanker(AskedLike(neighbours.model, model), self._counts(stage))
        protocol, cutoff = self._protocol(stage), self.monitor.partition("@")[2]
        ks = (int(cutoff),) if cutoff else ()

        def validate(model: NeighbourModel) -> float:
            del model  # The ranker's.
            ranks = ranker(some, [protocol])[protocol, held_out_ranks.MODEL]
            return ranks.summary(ks).get(self.monitor, 0.0)

        neighbours.fit(validate)

    def _neighbours_of(self, stage: RankingStage) -> ItemNeighbours:
        if stage.catalogue not in self._neighbours:
            space = _history_space(stage)
            self._neighbours[stage.catalogue] = ItemNeighbours(self._data, space, stage.catalogue)
        return self._neighbours[stage.catalogue]

    def _counts(self, stage: RankingStage) -> np.ndarray:
        return self._data.vocabulary(stage.catalogue).counts

    def _ranks(
        self,
        stage: RankingStage,
        ranker: HeldOutRanker,
        split: str,
        batches: Batches,
        protocols: Collection[str],
    ) -> RanksByScorer:
        """Ranks a split; processes share its rows, and each gets the ranks of all."""
        own = ranker(batches, protocols)
        if self._distribution.num_workers == 1:
            return own
        size = self._batch_size
        first, last = self._distribution.rows(size)
        examples = self._request(stage).num_examples(self._data, split)
        whole = {}
        for scorer, ranks in own.items():
            batch, place = np.divmod(ranks.row, last - first)
            own_columns = [ranks.user, ranks.rank, ranks.competitors, ranks.item]
            own_columns += ranks.groups.values()
            columns = np.zeros((1 + len(own_columns), examples))
            columns[:, batch * size + first + place] = [np.ones(len(place)), *own_columns]
            total = self._distribution.add_up(columns).astype(np.int64)
            (row,) = np.nonzero(total[0])
            user, rank, competitors, item, *groups = total[1:, row]
            by_column = dict(zip(ranks.groups, groups, strict=True))
            whole[scorer] = Ranks(user, rank, competitors, row, item, by_column)
        return whole

    def _ranker(
        self, stage: RankingStage, model: StageModel, with_neighbours: bool
    ) -> HeldOutRanker:
        key = id(model), with_neighbours
        if key not in self._rankers:
            neighbours = self._neighbours_of(stage).model if with_neighbours else None
            self._rankers[key] = HeldOutRanker(model, self._counts(stage), self._groups, neighbours)
        return self._rankers[key]

    def _validation_batches(self, stage: RankingStage, sampled: bool) -> RepeatedReading:
        """Reads what an epoch is chosen by; `sampled`: by the candidates."""
        if self._validation is None or self._validation[0] is not stage:
            reading = self._reading(stage, "validation")
            if not reading.in_memory:
                # No more than what is needed, since every epoch makes it anew.
                rows = self._distribution.rows(self._batch_size)
                request = self._request(stage, sampled=sampled, recent=False)
                reading = self._read(request, "validation", rows)
            self._validation = stage, reading
        return self._validation[1]

    def _reading(self, stage: RankingStage, split: str, shared: bool = True) -> RepeatedReading:
        """Reads a split with all that anybody asks of it: candidates, histories for neighbours.

        Args:
          stage: the model's.
          split: "validation" or "test".
          shared: whether processes read their own rows alone.
        """
        rows = self._distribution.rows(self._batch_size) if shared else None
        return self._read(self._request(stage, sampled=True, recent=True), split, rows)

    def _request(
        self, stage: RankingStage, sampled: bool = False, recent: bool = False
    ) -> ViewRequest:
        """Returns what is read of a stage's rows: the same ones with candidates and without.

        Args:
          stage: the model's.
          sampled: whether candidates are wanted.
          recent: whether histories for the neighbours are.
        """
        options = {**stage.evaluation.options}
        # Only views with candidates offer them; pre-training ranks the full catalogue.
        if stage.has_candidates and self._options.negatives:
            options["least_left"] = self._options.negatives
            if sampled:
                options["candidates"] = self._options.negatives
        if recent:
            options["recent"] = HISTORY
        return stage.evaluation._replace(options=options)


def _history_space(stage: RankingStage) -> str:
    """Returns the item space of the batches' `recent_items`."""
    return "source" if stage.catalogue == "source" else "joint"
