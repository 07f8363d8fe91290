"""The kinds of training example. A new view is one module here and one line in `VIEWS`."""

from data_pipelines.views import (
    known_behaviour,
    leave_one_out,
    masked_item,
    multi_domain_sequence,
    next_item,
    paired_behaviour,
    transfer,
)
from data_pipelines.views.view import View

# Views that are cut from users' histories. Impressions have a reading of their own.
VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        next_item.VIEW,
        masked_item.VIEW,
        next_item.JOINT_VIEW,
        masked_item.JOINT_VIEW,
        transfer.VIEW,
        leave_one_out.VIEW,
        paired_behaviour.VIEW,
        paired_behaviour.DEVELOPING_VIEW,
        known_behaviour.VIEW,
        multi_domain_sequence.VIEW,
    )
}
